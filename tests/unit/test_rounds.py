"""Solvers that go in rounds: their number is found on some rows, what each takes on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from luban.planning import growth, rounds
from luban.planning.rounds import grow_in_rounds

Call = tuple[int, int | None]


def timed(monkeypatch: pytest.MonkeyPatch, needed: Callable[[int], int], *, first: float = 0.0) -> tuple[rounds.Solve, list[Call]]:
    """(a solver of 0.1 s and a line of the rows a round, that finds it needs so many; what it was asked)."""
    clock, calls = [0.0], list[Call]()
    monkeypatch.setattr(growth.time, "perf_counter", lambda: clock[0])

    def solve(size: int, most: int | None) -> int:
        taken = needed(size) if most is None else min(most, needed(size))
        clock[0] += 0.1 + first * (not calls) + taken * (1e-3 + 1e-7 * size)
        calls.append((size, most))
        return taken

    return solve, calls


@pytest.mark.parametrize(("total", "most"), [(30_000, 30_000), (30_000, 10_000)])
def test_few_rounds_over_all_rows_and_all_over_some_tell_the_whole(total: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    solve, calls = timed(monkeypatch, lambda rows: 300, first=2.0)
    found = grow_in_rounds(solve, total, foreseen=500, most=most, patience=2.0)
    assert found.seconds == pytest.approx(0.1 + 300 * 4e-3, rel=0.01)
    assert found.once_s == pytest.approx(2.1, rel=0.01)
    assert max(size for size, limit in calls if limit is None) < most
    assert max(size for size, limit in calls if limit == rounds.MORE) == most


def test_more_rows_say_better_how_many_rounds_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, calls = timed(monkeypatch, lambda rows: 100 if rows < 4000 else 150)
    found = grow_in_rounds(solve, 50_000, foreseen=500, most=50_000, patience=4.0)
    assert [size for size, limit in calls if limit is None] == [1000, 4000, 16_000]
    assert found.seconds == pytest.approx(0.1 + 150 * 6e-3, rel=0.01)


def test_what_is_solved_wholly_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, _ = timed(monkeypatch, lambda rows: 40)
    found = grow_in_rounds(solve, 900, foreseen=500, most=900, patience=2.0)
    assert (found.share, found.seconds) == (1.0, pytest.approx(0.1 + 40 * 1.09e-3))


def test_where_not_even_some_rows_are_solved_in_time_the_most_rounds_are_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "LIMIT_S", 0.1)

    def solve(size: int, most: int | None) -> int:
        while most is None:
            math.sqrt(2)
        return most

    found = grow_in_rounds(solve, 5000, foreseen=500, most=5000, patience=0.01)
    assert found.share == pytest.approx(rounds.MORE / 500)
