"""How long a training lasts, how large its batches are, and the rate along the way."""

from __future__ import annotations

import time
from typing import Any

import pytest

from luban.energy import Costs
from luban.errors import RecipeError
from luban.training.budget import Amount, Budget, Purse, amount_of, batch_size_of, check_budget, epochs_of, left_for_fits, rate_at
from luban.training.settings import Training


@pytest.mark.parametrize(
    ("text", "seconds"), [("90 s", 90), ("10 min", 600), ("2h", 7200), ("1.5 h", 5400), (" 3 分钟 ", 180), ("1小时", 3600), ("5 MIN", 300)]
)
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert amount_of(text) == Amount(seconds, "s")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.02 kWh", Amount(0.02, "kWh")), ("20Wh", Amount(0.02, "kWh")), ("1.5 度", Amount(1.5, "kWh")),
        ("¥3", Amount(3, "money")), ("￥ 3.5", Amount(3.5, "money")), ("$0.25", Amount(0.25, "money")), ("3 元", Amount(3, "money")),
        ("2 EUR", Amount(2, "money")), ("2 €", Amount(2, "money")),
    ],
)  # fmt: skip
def test_budgets_of_energy_and_money_are_read(text: str, amount: Amount) -> None:
    assert amount_of(text) == amount


def test_a_budget_of_money_wants_a_price() -> None:
    with pytest.raises(RecipeError, match=r"L119.*¥3.*price_kwh"):
        check_budget("¥3", Costs())
    with pytest.raises(RecipeError, match="L119"):
        check_budget("¥3", Costs(price_kwh=0.0))
    check_budget("¥3", Costs(price_hour=1.0))
    check_budget("3 kWh", Costs())


@pytest.mark.parametrize(
    "text",
    ["", "10", "min", "0 s", "-3 s", "3 parsec", "1 h 30 min", "1e3 s", "nan s", "¥", "¥0", "¥3 min", "$3 usd", "3 ¥¥", "0 kWh", "3 kW"],
)
def test_what_is_no_budget_is_a_named_error(text: str) -> None:
    with pytest.raises(RecipeError, match="L114"):
        amount_of(text)


@pytest.mark.parametrize(
    ("settings", "rows", "size"),
    [
        ({}, 5, 5), ({}, 150, 16), ({}, 1797, 16), ({}, 14_009, 128), ({}, 10**6, 256),
        ({"batch_size": 7}, 100, 7), ({"batch_size": 7}, 3, 3), ({"batch_size": "all"}, 101, 101), ({"optimizer": "gd"}, 101, 101),
    ],
)  # fmt: skip
def test_a_batch_is_a_hundredth_of_the_rows(settings: dict[str, Any], rows: int, size: int) -> None:
    assert batch_size_of(Training(**settings), rows) == size


@pytest.mark.parametrize(
    ("settings", "rows", "epochs"),
    [({}, 60_000, 7), ({}, 100, 100), ({}, 10**7, 4), ({"epochs": 2.5}, 100, 2.5), ({"steps": 5}, 100, None), ({"budget": "1 s"}, 9, None)],
)
def test_without_a_word_training_sees_some_rows(settings: dict[str, Any], rows: int, epochs: float | None) -> None:
    assert epochs_of(Training(**settings), rows) == epochs


def test_the_share_spent_most_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    purse = Purse(15.0, lambda: 2 * now[0])  # two a second
    budget = Budget(Training(steps=50), epochs=4.0, purse=purse, spent_before=5.0, seconds_before=2.5)
    assert budget.share(0, 0) == 5 / 20
    assert budget.share(30, 0) == 30 / 50
    assert budget.share(30, 3.0) == 3 / 4
    now[0] = 106.5
    assert (budget.elapsed_s, budget.spent) == (9.0, 18.0)
    assert budget.share(30, 3.0) == 18 / 20
    now[0] = 999.0
    assert budget.share(30, 3.0) == 1


def test_what_the_last_validations_take_is_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(Training(), epochs=None, purse=Purse(100.0, lambda: 5 * now[0], passes=2.0))
    now[0] = 10.0
    assert budget.share(9, 9.0) == 50 / 100
    budget.pass_s = 1.0  # two passes of a second, five a second
    assert budget.share(9, 9.0) == 50 / 90
    budget.pass_s = 0.5
    assert budget.share(9, 9.0) == 50 / 90  # never back
    budget.pass_s = 1000.0
    assert budget.share(9, 9.0) == 1


def test_what_was_spent_before_the_first_step_is_lost_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [7.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(Training(), epochs=None, purse=Purse(20.0, lambda: 2 * now[0], began=4.0), spent_before=10.0)  # 10 of the 20 are gone
    assert budget.share(0, 0) == 10 / 20
    now[0] = 9.5
    assert budget.share(5, 0.1) == 15 / 20
    late = Budget(Training(), epochs=None, purse=Purse(20.0, lambda: 2 * now[0], began=-90.0))
    assert late.share(0, 0) == 0
    now[0] = 10.5
    assert late.share(1, 0.1) == 1


def test_networks_share_what_is_left() -> None:
    assert left_for_fits(100.0, 20.0, 4, 10.0) == 17.5
    assert left_for_fits(100.0, 120.0, 4, 10.0) == 0.1


@pytest.mark.parametrize(
    ("schedule", "share", "rate"),
    [("cosine", 0.05, 0.5), ("cosine", 0.1, 1), ("cosine", 0.55, 0.5), ("cosine", 1, 0), ("linear", 0.325, 0.75), ("constant", 0.9, 1)],
)
def test_the_rate_rises_then_falls(schedule: Any, share: float, rate: float) -> None:
    assert rate_at(share, Training(schedule=schedule, warmup=0.1)) == pytest.approx(rate, abs=1e-12)


def test_the_first_step_is_not_lost_to_the_warm_up() -> None:
    assert rate_at(0.0, Training()) > 0
    assert rate_at(0.0, Training(schedule="constant", warmup=0.0)) == 1
