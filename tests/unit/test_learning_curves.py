"""Curves of a report show scores as their metric has them, whichever way is better."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luban.evaluation.metrics import find
from luban.run.report import learning_curves


@pytest.mark.parametrize(
    ("name", "logged", "shown"), [("rmse", [-3.0, -1.0, -2.0], [3.0, 1.0, 2.0]), ("accuracy", [0.5, 0.8, 0.6], [0.5, 0.8, 0.6])]
)
def test_scores_are_shown_as_the_metric_has_them(name: str, logged: list[float], shown: list[float], tmp_path: Path) -> None:
    lines = [{"step": 1, "losses": {"loss": 1.0}}, *({"step": step, "score": score} for step, score in enumerate(logged, 2))]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    network: Any = SimpleNamespace(role="network")
    found = learning_curves(tmp_path, network, find(name))
    assert found is not None
    assert found["validation"] == [[step, score] for step, score in enumerate(shown, 2)]
    assert found["best_step"] == 3
