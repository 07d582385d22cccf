"""Measures at growing sizes: the whole is carried on by the power, or the line, that they follow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from luban.planning import growth
from luban.planning.growth import Measure, carried, grow, next_size, power_of


def measures(seconds: list[tuple[int, float]]) -> list[Measure]:
    return [Measure(size, value, 2 * value, 1000 + 7 * size) for size, value in seconds]


def timed(
    monkeypatch: pytest.MonkeyPatch, *, each: float, constant: float = 0.0, first: float = 0.0
) -> tuple[Callable[[int], None], list[int]]:
    """(work that takes so many seconds for each of its size, always, and the first time beside; the sizes it was given)."""
    clock, sizes = [0.0], list[int]()
    monkeypatch.setattr(growth.time, "perf_counter", lambda: clock[0])

    def work(size: int) -> None:
        clock[0] += constant + first * (not sizes) + each * size
        sizes.append(size)

    return work, sizes


@pytest.mark.parametrize(("true", "found"), [(1.0, 1.0), (1.5, 1.5), (3.0, 2.0)])
def test_a_power_is_found_between_its_limits(true: float, found: float) -> None:
    points = measures([(size, 0.01 * size**true) for size in (100, 400)])
    assert power_of(points) == pytest.approx(found)
    assert carried(points, 4000, once_s=0.0, affine=False).seconds == pytest.approx(0.01 * 400**true * 10**found)


def test_what_has_a_large_constant_part_grows_as_n_log_n_beside_it() -> None:
    points = measures([(200, 5 + 0.002 * 200), (1600, 5 + 0.002 * 1600)])
    bent = 9.5468 / 7.3778  # ln 14000 / ln 1600
    assert carried(points, 14_000, once_s=0.0, affine=False).seconds == pytest.approx(8.2 + bent * 0.002 * 12_400, rel=1e-4)
    assert carried(points, 14_000, once_s=0.0, affine=True).seconds == pytest.approx(5 + 28)


def test_a_line_is_carried_on_as_a_line_and_so_is_memory() -> None:
    points = measures([(size, 3 + 0.5 * size) for size in (10, 40)])
    found = carried(points, 1000, once_s=0.25, affine=True)
    assert found.seconds == pytest.approx(503)
    assert found.peak_bytes == 1000 + 7 * 1000
    assert found.share == 0.04
    assert found.cpu_seconds == pytest.approx(2 * 503)
    assert found.once_s == 0.25


def test_what_was_done_in_whole_is_not_carried_on() -> None:
    points = measures([(10, 1.0), (40, 9.0)])
    assert carried(points, 40, once_s=0.0, affine=False).seconds == 9.0


def test_the_whole_is_measured_where_it_fits_and_a_part_where_it_does_not() -> None:
    points = measures([(100, 0.1), (400, 0.4)])
    assert next_size(points, 1000, left=1.2) == 1000
    assert next_size(points, 100_000, left=1.2) == pytest.approx(1200, abs=1)
    assert next_size(points, 100_000, left=1e6) == 100_000
    assert next_size(points, 10**9, left=100.0) == 1600


def test_work_grows_till_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.001, first=5.0)
    found = grow(work, 10_000, start=100, patience=60.0)
    assert sizes == [100, 100, 100, 100, 10_000]
    assert (found.share, found.once_s) == (1.0, pytest.approx(5.0))
    assert found.seconds == pytest.approx(10.0)


def test_work_stops_when_patience_ends_or_the_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.001)
    found = grow(work, 10**6, start=100, patience=2.0)
    assert max(sizes) < 2000
    assert found.seconds == pytest.approx(1000, rel=0.01)
    sizes.clear()
    found = grow(work, 10**6, start=100, patience=1e9, most=5000)
    assert max(sizes) == 5000
    assert found.share == 0.005
    assert found.seconds == pytest.approx(1000, rel=0.01)


def test_two_sizes_are_measured_whatever_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.01, constant=9.0)
    bent = 8.2940 / 6.6846  # ln 4000 / ln 800
    assert grow(work, 4000, start=100, patience=4.0).seconds == pytest.approx(17 + bent * 32, rel=1e-4)
    assert sizes == [100, 800]


def test_a_line_is_found_by_two_near_sizes_where_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.01, constant=1.0)
    assert grow(work, 4000, start=100, patience=0.5, affine=True).seconds == pytest.approx(41)
    assert sizes == [100, 200]


def test_a_first_time_that_is_dearer_than_more_work_tells_no_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.001, first=2.0)
    found = grow(work, 40_000, start=200, patience=0.3)
    assert sizes == [200, 1600]
    assert found.seconds == pytest.approx(40.0)
    assert found.once_s == pytest.approx(2.2 - 1.6)


def test_a_first_time_that_is_only_a_little_dear_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    work, sizes = timed(monkeypatch, each=0.001, first=1.5)
    found = grow(work, 40_000, start=200, patience=1.0)
    assert sizes[:2] == [200, 200]
    assert found.seconds == pytest.approx(40.0)
    assert found.once_s == pytest.approx(1.5)


def test_a_round_that_takes_too_long_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "LIMIT_S", 0.2)
    rounds = []

    def work(size: int) -> None:
        rounds.append(size)
        while True:
            math.sqrt(2)

    found = grow(work, 1000, start=1000, patience=0.01)
    assert rounds == [1000]
    assert found.seconds >= 0.2


def test_the_peak_of_a_block_is_seen_and_what_was_before_is_not_forgotten() -> None:
    from luban.planning.memory import Peak, highest, resident

    before = resident()
    with Peak() as first:
        held = np.ones(40_000_000)  # 320 MB
        del held
    with Peak() as second:
        pass
    assert first.bytes > before + 250_000_000
    assert second.bytes < first.bytes - 200_000_000
    assert highest() >= first.bytes


def test_the_peak_is_seen_where_the_kernels_mark_cannot_be_set_back(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from luban.planning import memory

    monkeypatch.setattr(memory, "RESET", memory.Path("/proc/nothing/here"))
    before = memory.resident()
    with memory.Peak() as peak:
        held = np.ones(40_000_000)
        while peak.bytes < before + 250_000_000:
            held += 1
    assert peak.bytes > before + 250_000_000
