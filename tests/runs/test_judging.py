"""The marks by which weights were chosen are those that are reported; found once where they can be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from luban.run import judging, pipeline
from luban.run.judging import Judge
from luban.run.pipeline import train
from luban.tasks.regression import Regression
from luban.training import checkpoints
from luban.training.loop import BEST


def recipe_of(folder: Path, **training: Any) -> dict[str, Any]:
    """A small net that is validated eight times."""
    Regression.demo(None, 240, 0).write_csv(folder / "data.csv")  # type: ignore[arg-type]
    settings = {"steps": 40, "batch_size": 16, "validations": 8, "patience": 0, "precision": "float32", "threads": 1, "compile": "off"}
    return {
        "task": "regression", "data": str(folder / "data.csv"), "target": "rent", "model": {"kind": "mlp", "size": "tiny"},
        "evaluation": {"draws": 20, "baselines": False}, "training": settings | training,
    }  # fmt: skip


def scores(run: pipeline.Run) -> list[Any]:
    """Of every model, on both splits."""
    return [(row["name"], row["validation"], row["test"]) for row in run.report["ladder"]]


WILD = {"learning_rate": 1.0, "schedule": "constant", "warmup": 0.0}  # the best step is one of the first
WAYS = {"steady": {}, "wild": WILD, "averaged": {"ema": 0.9}}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_kept_is_what_is_found_again(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, real = list[int](), pipeline.marks_of
    monkeypatch.setattr(pipeline, "marks_of", lambda task, net, part: (found.append(len(part)), real(task, net, part))[1])
    recipe = recipe_of(tmp_path, **WAYS[way])
    kept = train(recipe, folder=tmp_path / "kept")
    test = kept.report["data"]["splits"]["test"]
    assert found[-1] == test
    again, calls = train(recipe, folder=tmp_path / "same"), len(found)
    monkeypatch.setattr(Judge, "marks_of_best", lambda self, validation: None)
    afresh = train(recipe, folder=tmp_path / "afresh")
    assert len(found) - calls == calls // 2 + 1
    assert scores(kept) == scores(again) == scores(afresh)


@pytest.mark.parametrize("way", WAYS)
def test_the_last_checkpoint_holds_the_chosen_weights_alone(way: str, tmp_path: Path) -> None:
    train(recipe_of(tmp_path, **WAYS[way]), folder=tmp_path / "run")
    last, best = checkpoints.load(tmp_path / "run" / "checkpoints"), checkpoints.read(tmp_path / "run" / "checkpoints" / BEST)
    assert last is not None
    assert best is not None
    assert last[0].keys() == {f"net/{name}" for name in best[0]}
    assert all(torch.equal(last[0][f"net/{name}"], tensor) for name, tensor in best[0].items())
    assert last[1]["progress"]["done"]


def test_large_marks_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, held = train(recipe_of(tmp_path), folder=tmp_path / "kept"), list[Any]()
    real = Judge.marks_of_best
    monkeypatch.setattr(judging, "MOST_BYTES", 0)
    monkeypatch.setattr(Judge, "marks_of_best", lambda self, validation: (held.append(real(self, validation)), held[-1])[1])
    assert scores(train(recipe_of(tmp_path), folder=tmp_path / "afresh")) == scores(kept)
    assert held == [None]
