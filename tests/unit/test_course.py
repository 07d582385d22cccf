"""A budget cuts the network, never the rungs before it; folds repeat every fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from luban.energy import Costs, Energy
from luban.planning.course import follow, warn_spent, warn_tight
from luban.planning.forecast import Forecast, Network, Stage
from luban.planning.machine import Machine
from luban.planning.memory import Parts
from luban.recipe import Recipe, parse
from luban.training.budget import is_late


def recipe(**sections: Any) -> Recipe:
    return parse({"task": "classification", "data": "d.csv", "target": "y"} | sections)


def stage(name: str, model: str, seconds: float) -> Stage:
    return Stage(name, model, seconds, seconds, 100)


NETWORK = Network("mlp", 1, 1, 1000, 10.0, 16, 1.0, 0.1, 1, 1, "float32", "cpu", Parts(1, 1, 1, 1, 1, 1))
STAGES = [
    stage("prepare", "", 2), stage("solve", "linear", 3), stage("validate", "linear", 1), stage("score", "linear", 1), stage("solve", "boosted", 4),
    stage("validate", "boosted", 1), stage("score", "boosted", 1), stage("settle", "mlp", 1), stage("train", "mlp", 100), stage("save", "mlp", 0),
    stage("validate", "mlp", 8), stage("score", "mlp", 1), stage("report", "", 2),
]  # fmt: skip


def seconds(stages: list[Stage], name: str) -> float:
    return sum(stage.seconds for stage in stages if stage.name == name)


def test_without_budget_the_stages_stand_in_the_order_of_the_run() -> None:
    stages, network = follow(STAGES, NETWORK, recipe(), None)
    assert network == NETWORK
    assert [s.name for s in stages][-4:] == ["score", "score", "score", "report"]
    assert sum(s.seconds for s in stages) == sum(s.seconds for s in STAGES)


def test_a_budget_cuts_training_to_what_is_left() -> None:
    stages, network = follow(STAGES, NETWORK, recipe(training={"budget": "60 s"}), 60.0)
    left = 60 - (2 + 3 + 1 + 4 + 1 + 1) - max(3.0, 0.09 * 60)  # before the network, and kept for what follows
    validations = 0.1 * left + 0.5
    assert seconds(stages, "train") == pytest.approx(left - validations)
    assert network is not None
    assert network.steps == round(1000 * seconds(stages, "train") / 100)


def test_a_budget_that_is_not_needed_cuts_nothing() -> None:
    stages, network = follow(STAGES, NETWORK, recipe(training={"budget": "10 min"}), 600.0)
    assert seconds(stages, "train") == 100
    assert network == NETWORK


def test_a_cheap_rung_is_never_late_before_three_quarters_are_spent() -> None:
    assert is_late(60, 31, 2.0)
    assert not is_late(60, 31, 1.0)  # a fiftieth of the budget is 1.2 s
    assert not is_late(60, 29, 2.0)
    assert is_late(60, 45, 1.0)
    assert is_late(60, 31, None)
    assert not is_late(60, 29, None)


def foreseen(stages: list[Stage], steps: int, budget_s: float | None) -> Forecast:
    energy, machine = Energy("band", None, Costs()), Machine(10**9, 10**9)
    return Forecast(
        rows=10, splits={}, lengths=None, start_s=0.0, stages=stages, network=replace(NETWORK, steps=steps), base_bytes=1, device_bytes=None,
        disk_bytes=1, first_result_s=1.0, budget_s=budget_s, early_stop=False, energy=energy, machine=machine,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("train_s", "steps", "budget_s", "warned"),
    [(5.0, 500, 30.0, True), (5.0, 500, 35.0, False), (5.0, 49, 31.0, True), (5.0, 50, 31.0, False), (5.0, 3, 90.0, False), (5.0, 3, None, False)],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_or_leaves_no_steps_is_warned_of(
    train_s: float, steps: int, budget_s: float | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stages = [stage("prepare", "", 20), stage("train", "mlp", train_s), stage("report", "", 6)]
    with caplog.at_level("WARNING", logger="luban"):
        warn_tight(foreseen(stages, steps, budget_s))
    assert ("W332" in caplog.text) == warned
    assert ("60 s" in caplog.text) == warned  # twice of what goes to all but training


def test_a_rung_that_comes_late_is_left_out_with_its_scores() -> None:
    slow = [stage("prepare", "", 2), stage("solve", "linear", 30), stage("validate", "linear", 1), *STAGES[4:]]
    stages, _ = follow(slow, NETWORK, recipe(training={"budget": "60 s"}), 60.0)
    assert not [s for s in stages if s.model == "boosted"]


def test_folds_repeat_every_fit_on_the_rows_they_train_on() -> None:
    stages, _ = follow(STAGES, NETWORK, recipe(evaluation={"folds": 5}, split={"validation": 0.1, "test": 0.2}), None)
    fits = 3 + 1 + 4 + 1 + 1 + 100 + 0 + 8
    assert seconds(stages, "folds") == pytest.approx(5 * (0.8 * 0.9 / 0.7 * fits + 1.0 * 3))


def test_a_run_with_a_forecast_of_its_own_keeps_back_what_that_foresaw() -> None:
    stages, _ = follow([stage("prepare", "", 2), stage("plan", "", 1), *STAGES[1:]], NETWORK, recipe(), 60.0)
    left = 60 - (2 + 1 + 3 + 1 + 4 + 1 + 1) - 1.1 * (1 + 1 + 1 + 2)
    assert seconds(stages, "train") == pytest.approx(left - (0.1 * left + 0.5))


def test_a_last_validation_of_its_own_comes_after_the_fits_and_is_kept_back_for() -> None:
    judged = [*STAGES[:-2], stage("judge", "mlp", 5), *STAGES[-2:]]
    stages, _ = follow([stage("prepare", "", 2), stage("plan", "", 1), *judged[1:]], NETWORK, recipe(), 60.0)
    assert [s.name for s in stages if s.model == "mlp"] == ["settle", "train", "save", "validate", "judge", "score"]
    left = 60 - (2 + 1 + 3 + 1 + 4 + 1 + 1) - 1.1 * (1 + 1 + 1 + 2 + 5)
    assert seconds(stages, "train") == pytest.approx(left - (0.1 * left + 0.5))


def test_a_rung_that_would_take_too_much_is_left_out_but_not_the_one_that_was_asked_for() -> None:
    slow = [stage("prepare", "", 2), *STAGES[1:4], stage("solve", "boosted", 45), *STAGES[5:7]]
    assert not [s for s in follow(slow, None, recipe(), 60.0)[0] if s.model == "boosted"]
    assert [s for s in follow(slow, None, recipe(model="boosted"), 60.0)[0] if s.model == "boosted"]


@pytest.mark.parametrize(("spent_s", "warned"), [(20.0, False), (26.0, True)])
def test_a_budget_too_short_for_a_forecast_is_known_to_be_tight_once_it_is_spent(
    spent_s: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_spent(spent_s, 30.0)
    assert ("W332" in caplog.text) == warned
