"""Budgets of time, energy and money end a run, and its report says what it took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luban import planning
from luban import recipe as recipes
from luban.cli.main import run as cli
from luban.columns import Columns
from luban.errors import RecipeError
from luban.models.linear import Linear
from luban.run import pipeline
from luban.run.clock import Clock
from luban.run.pipeline import train
from luban.run.spending import Spending
from luban.tasks.classification import Classification


class Named:
    """A task of this model."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = type("Config", (), config)


def recipe_of(folder: Path, budget: str, model: str = "mlp", **more: Any) -> dict[str, Any]:
    Classification.demo(None, 230, 0).write_csv(folder / "data.csv")  # type: ignore[arg-type]
    return {
        "task": "classification", "data": str(folder / "data.csv"), "target": "label",
        "model": {"kind": model, "size": "tiny"} if model != "linear" else "linear",
        "evaluation": {"draws": 20}, "training": {"budget": budget, "patience": 0, "precision": "float32", "epochs": 10**8},
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "costs"),
    [("¥5", {"price_hour": 3600.0, "currency": "¥"}), ("0.00002 kWh", {}), ("1 $", {"price_kwh": 5e4, "grid_kg": 0.1})],
)
def test_energy_and_money_end_a_run(budget: str, costs: dict[str, Any], tmp_path: Path) -> None:
    shares: list[float] = []
    run = train(
        recipe_of(tmp_path, budget, costs=costs),
        folder=tmp_path / "run",
        tell=lambda event, **facts: shares.append(facts["share"]) if event == "step" else None,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    took = run.report["forecast"]["actual"]
    assert took["co2_kg"] == pytest.approx(took["kwh"] * costs.get("grid_kg", 0.48))
    price = costs.get("price_kwh", 0) * took["kwh"] + costs.get("price_hour", 0) * took["seconds"] / 3600
    assert took["money"] == (pytest.approx(price) if price else None)
    kept = json.loads((tmp_path / "run" / "spent.json").read_text())
    assert kept["kwh"] >= took["kwh"] > 0


def test_energy_of_earlier_sittings_counts(tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_text('{"seconds": 90.0, "kwh": 0.25}')
    recipe = recipes.parse(recipe_of(tmp_path, "0.52 kWh"))
    with Clock(tmp_path / "spent.json", lead_s=10.0) as clock:
        assert clock.seconds >= 100
        assert clock.kwh >= 0.25
        spending = Spending(recipe, clock)
        assert spending.spent == pytest.approx(0.25, rel=0.01)
        spending.forecast = {"stages": []}
        linear, boosted = (Named({"model": {"kind": kind}}) for kind in ("linear", "boosted"))
        assert not spending.is_late(linear, Columns({}, np.arange(9)))
        spending.forecast = {"stages": [{"name": "solve", "model": "linear", "seconds": 60.0}]}
        assert spending.is_late(linear, Columns({}, np.arange(9)))  # 0.25 + 60 s at 0.0025 kWh a second
        assert not spending.is_late(boosted, Columns({}, np.arange(9)))


def test_a_baseline_that_no_forecast_knows_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, fitted, warned = Linear.solve, list[str](), list[str]()

    def slow(self: Linear, batches: Any) -> Iterator[float]:
        time.sleep(2.0 * len(batches.examples))  # minutes, but for the rows that are looked at
        yield from quick(self, batches)

    monkeypatch.setattr(planning.solving, "FIRST_ROWS", 1)
    monkeypatch.setattr(Linear, "solve", slow)
    monkeypatch.setattr(pipeline, "warn", lambda code, what, **_: warned.append(code))
    train(recipe_of(tmp_path, "40 s") | {"training": {"budget": "40 s", "epochs": 1.0}}, folder=tmp_path / "run", tell=heard(fitted))
    assert "W331" in warned
    assert "linear" not in fitted
    assert "mlp" in fitted


def heard(fitted: list[str]) -> Callable[..., None]:
    """Notes which models are fitted."""
    return lambda event, **facts: fitted.append(facts["model"]) if event == "scored" else None


def test_a_model_that_was_asked_for_is_solved_whatever_is_left(tmp_path: Path) -> None:
    run = train(recipe_of(tmp_path, "1 s", "linear"), folder=tmp_path / "run")
    assert [row["name"] for row in run.report["ladder"] if row["chosen"]] == ["linear"]


def test_money_without_a_price_is_refused_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecipeError, match="L119"):
        train(recipe_of(tmp_path, "¥3") | {"data": "nowhere.csv"})
    (tmp_path / "r.toml").write_text('task = "classification"\ndata = "x.csv"\ntarget = "y"\n[training]\nbudget = "¥3"\n')
    assert cli(["plan", str(tmp_path / "r.toml")], False) == 2
    assert "price_kwh" in capsys.readouterr().err
