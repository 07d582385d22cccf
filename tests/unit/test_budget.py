"""How long a training lasts, how large its batches are, and the rate along the way."""

from __future__ import annotations

import time
from typing import Any

import pytest

from luban.errors import RecipeError
from luban.training.budget import Budget, batch_size_of, epochs_of, rate_at, seconds_of
from luban.training.settings import Training


@pytest.mark.parametrize(
    ("text", "seconds"), [("90 s", 90), ("10 min", 600), ("2h", 7200), ("1.5 h", 5400), (" 3 分钟 ", 180), ("1小时", 3600), ("5 MIN", 300)]
)
def test_budgets_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "min", "0 s", "-3 s", "3 parsec", "1 h 30 min", "1e3 s", "nan s"])
def test_what_is_no_budget_is_a_named_error(text: str) -> None:
    with pytest.raises(RecipeError, match="L114"):
        seconds_of(text)


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
    budget = Budget(Training(steps=50), epochs=4.0, seconds=20.0, spent_s=5.0, started=100.0)
    assert budget.share(0, 0) == 5 / 20
    assert budget.share(30, 0) == 30 / 50
    assert budget.share(30, 3.0) == 3 / 4
    now[0] = 113.0
    assert budget.elapsed_s == 18.0
    assert budget.share(30, 3.0) == 18 / 20
    now[0] = 999.0
    assert budget.share(30, 3.0) == 1


@pytest.mark.parametrize(
    ("schedule", "share", "rate"),
    [("cosine", 0.05, 0.5), ("cosine", 0.1, 1), ("cosine", 0.55, 0.5), ("cosine", 1, 0), ("linear", 0.325, 0.75), ("constant", 0.9, 1)],
)
def test_the_rate_rises_then_falls(schedule: Any, share: float, rate: float) -> None:
    assert rate_at(share, Training(schedule=schedule, warmup=0.1)) == pytest.approx(rate, abs=1e-12)


def test_the_first_step_is_not_lost_to_the_warm_up() -> None:
    assert rate_at(0.0, Training()) > 0
    assert rate_at(0.0, Training(schedule="constant", warmup=0.0)) == 1
