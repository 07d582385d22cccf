"""What a rehearsal hands on: marks of a few rows stand for all, and can be compared between models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from luban.columns import Columns
from luban.errors import DataError
from luban.evaluation.ladder import Rung
from luban.evaluation.metrics import find
from luban.planning import rehearsal as rehearsal_of
from luban.planning.growth import Growth
from luban.planning.rehearsal import Rehearsal, repeated
from luban.run import forecasting
from luban.run.pipeline import train
from luban.tasks.classification import Classification


@pytest.mark.parametrize(("few", "others"), [(3, 11), (11, 11), (13, 5)])
def test_marks_of_unlike_numbers_of_rows_are_marks_of_the_same_rows(few: int, others: int) -> None:
    a, b = (repeated(Columns({"hit": np.arange(n) % 2}, 7 * np.arange(n) + 5), 11) for n in (few, others))
    assert a.row.tolist() == b.row.tolist() == list(range(11))
    assert a["hit"].tolist() == [i % few % 2 for i in range(11)]


@pytest.mark.parametrize(("scale", "most", "judged"), [(1.0, 10**6, (20, 30)), (4.0, 10**6, (80, 120)), (4.0, 100, (80, 100))])
def test_a_report_is_rehearsed_with_as_many_rows_as_the_run_will_have(
    scale: float, most: int, judged: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = Rung("mlp", object(), nn.Identity(), "baseline", 0.0)
    rehearsal = object.__new__(Rehearsal)
    rehearsal.examples = {name: Columns({}, np.arange(count)) for name, count in (("train", 200), ("validation", 20), ("test", 30))}
    rehearsal.scale, rehearsal.metric, rehearsal.network, rehearsal.stages = scale, find("accuracy"), None, []
    marks, growth = Columns({"hit": np.arange(7)}, np.arange(7)), Growth(1.0, 0.0, 1.0, 0, 0.5)
    monkeypatch.setattr(rehearsal_of, "MOST_MARKS", most)
    monkeypatch.setattr(Rehearsal, "answered", lambda self, rung, examples, part: (growth, round(scale * len(examples)), marks))
    monkeypatch.setattr(Rehearsal, "validated", lambda *_: None)
    rehearsal.predicted(rung, "validation")
    assert (len(rung.validation or ()), len(rung.test or ())) == judged


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
