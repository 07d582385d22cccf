"""What a rehearsal hands on: marks of a few rows stand for all, and can be compared between models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban.columns import Columns
from luban.errors import DataError
from luban.planning.rehearsal import repeated
from luban.run import forecasting
from luban.run.pipeline import train
from luban.tasks.classification import Classification


@pytest.mark.parametrize(("few", "others"), [(3, 11), (11, 11), (13, 5)])
def test_marks_of_unlike_numbers_of_rows_are_marks_of_the_same_rows(few: int, others: int) -> None:
    a, b = (repeated(Columns({"hit": np.arange(n) % 2}, 7 * np.arange(n) + 5), 11) for n in (few, others))
    assert a.row.tolist() == b.row.tolist() == list(range(11))
    assert a["hit"].tolist() == [i % few % 2 for i in range(11)]


def test_a_forecast_that_fails_is_said_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise DataError("L351", "no such rows")

    caplog.set_level("INFO", "luban")
    monkeypatch.setattr(forecasting, "own_s", lambda _: 1.0)
    monkeypatch.setattr(forecasting, "of_run", fail)
    Classification.demo(None, 230, 0).write_csv(tmp_path / "data.csv")  # type: ignore[arg-type]
    recipe = {
        "task": "classification", "data": str(tmp_path / "data.csv"), "target": "label", "model": {"kind": "mlp", "size": "tiny"},
        "evaluation": {"draws": 20}, "training": {"steps": 2},
    }  # fmt: skip
    assert train(recipe, folder=tmp_path / "run").report["forecast"]["forecast"] is None
    assert "no forecast: L351" in caplog.text
