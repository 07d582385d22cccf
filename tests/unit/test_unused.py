"""A setting works, or it is said that it does not: class weights reach solved models, what they have no use for is named."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from luban import recipe as recipes
from luban.columns import Columns
from luban.run import train
from luban.run.unused import warn_unused
from luban.task import arrange
from luban.training.solving import Passes


def rare(rows: int = 600) -> pl.DataFrame:
    """One row in ten is positive, and overlaps with the others."""
    rng = np.random.default_rng(0)
    positive = rng.random(rows) < 0.1
    return pl.DataFrame(
        {"x": positive + rng.normal(0, 1, rows), "t": ["on" if p else "off" for p in positive], "y": np.where(positive, "b", "a")}
    )


def recall(model: str, weight: str, inputs: dict[str, str]) -> float:
    """Of the rare label, on the training rows."""
    task = recipes.parse(
        {"task": {"kind": "classification", "class_weight": weight}, "data": "none", "target": "y", "inputs": inputs, "model": model}
    ).make_task()
    table = rare()
    task = type(task)(task.config, task.fit(table))
    rows: Columns = arrange(task, task.encode(table), np.ones(len(table), bool))
    net: Any = task.build()
    list(net.solve(Passes(task, rows, 0)))
    batch = next(iter(Passes(task, rows, 0)))
    guess = task.predict(net, batch).argmax(1).numpy()
    return float((guess == 1)[batch.target.numpy() == 1].mean())


@pytest.mark.parametrize("model", ["linear", "boosted"])
def test_class_weights_reach_a_solved_model(model: str) -> None:
    assert recall(model, "balanced", {"x": "number"}) > recall(model, "none", {"x": "number"}) + 0.2


def test_a_balanced_majority_prefers_nobody() -> None:
    task = recipes.parse(
        {"task": {"kind": "classification", "class_weight": "balanced"}, "data": "none", "target": "y", "inputs": {"x": "number"},
         "model": "majority"}
    ).make_task()  # fmt: skip
    table = rare()
    task = type(task)(task.config, task.fit(table))
    net: Any = task.build()
    list(net.solve(Passes(task, task.encode(table), 0)))
    assert abs(float(net.constant[0])) < 0.1


@pytest.mark.parametrize(
    ("changes", "solved", "named"),
    [
        ({"training": {"epochs": 3, "seed": 5, "budget": "1 min"}}, True, "training.epochs"),
        ({"task": {"kind": "classification", "label_smoothing": 0.1}}, True, "task.label_smoothing"),
        ({"task": {"kind": "classification", "loss": "bce"}}, True, "task.loss"),
        ({"training": {"momentum": 0.5}}, False, "training.momentum"),
        ({"training": {"momentum": 0.5, "optimizer": "sgd"}}, False, ""),
        ({"training": {"seed": 5, "memory": "2 GB"}}, True, ""),
        ({}, True, ""),
    ],
)
def test_what_has_no_effect_is_named(
    changes: dict[str, Any], solved: bool, named: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("luban"), "propagate", True)
    model = "linear" if solved else "mlp"
    recipe = recipes.parse({"task": "classification", "data": "a.csv", "target": "y", "inputs": {"x": "number"}, "model": model} | changes)
    warn_unused(recipe, recipe.make_task(), solved=solved)
    assert [record.luban["code"] for record in caplog.records] == (["W110"] if named else [])
    assert named in caplog.text


def test_missing_labels_are_named_once_and_auto_without_baselines_is_the_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("luban"), "propagate", True)
    rare(200).with_columns(y=pl.when(pl.int_range(200) % 20 == 0).then(None).otherwise("y")).write_csv(tmp_path / "d.csv")
    asked = {"task": "classification", "data": "d.csv", "target": "y", "inputs": {"x": "number"}, "training": {"steps": 2, "threads": 1},
             "evaluation": {"draws": 10, "baselines": False}}  # fmt: skip
    run = train(recipes.parse(asked, base=tmp_path), runs=tmp_path / "runs")
    assert [row["name"] for row in run.report["ladder"]] == ["mlp"]
    assert [record.luban["code"] for record in caplog.records if hasattr(record, "luban")].count("W230") == 1
    assert run.report["environment"]["threads"] == 1
