"""What a batch takes is learnt: a start and a share for each row."""

from __future__ import annotations

import numpy as np
import pytest

from luban.serving.pace import Forecast, Pace


def test_it_is_the_weighted_least_squares() -> None:
    """numpy.polyfit takes the root of a weight."""
    rng = np.random.default_rng(3)
    rows = rng.integers(1, 200, 60)
    seconds = 0.004 + 0.0002 * rows + rng.normal(0, 0.001, 60)
    pace = Pace()
    for count, took in zip(rows.tolist(), seconds.tolist(), strict=True):
        pace.learn(count, took)
    each, start = np.polyfit(rows, seconds, 1, w=np.sqrt(0.95 ** np.arange(60)[::-1]))
    assert pace.line == pytest.approx((start, each), rel=1e-6)


def test_a_line_of_small_batches_does_not_look_dear() -> None:
    pace = Pace()
    for count in (1, 2, 3) * 20:
        pace.learn(count, 0.005 + 0.00005 * count)
    assert pace.wait(200, 256) == pytest.approx(0.015, rel=0.01)
    assert pace.wait(300, 100) == pytest.approx(0.03, rel=0.01)


def test_of_one_size_nothing_is_known_but_that() -> None:
    pace = Pace()
    assert pace.wait(100, 10) == 0
    pace.learn(4, 0.2)
    assert pace.wait(4, 256) == pytest.approx(0.2)
    assert 0.2 < pace.wait(8, 256) < 0.4


def test_it_forgets() -> None:
    pace = Pace()
    for count in (1, 9) * 50:
        pace.learn(count, 1.0 * count)
    for count in (1, 9) * 100:
        pace.learn(count, 0.001 * count)
    assert pace.wait(100, 256) == pytest.approx(0.1, rel=0.1)


def overload(
    slower: float, *, clients: int = 256, seconds: float = 20.0, start: float = 0.002, each: float = 0.001
) -> tuple[float, float, float]:
    """Clients that ask again as soon as they are answered, 0.2 s after a refusal; (share of capacity, median and longest wait) once it has settled.

    A clock that only this function moves. Batches take `slower` times what is measured of them: so much else goes on between them.
    """
    forecast, now, free_at = Forecast(0.1, 64), 0.0, 0.0
    line: list[tuple[float, int, float]] = []  # came, client, foretold
    wakes = [(0.0, client) for client in range(clients)]
    waits: list[float] = []
    while now < seconds:
        for at, client in sorted(wake for wake in wakes if wake[0] <= now):
            wakes.remove((at, client))
            if forecast.wait(len(line) + 1, len(line)) > forecast.target_s and len(line) >= 4:
                wakes.append((now + 0.2, client))
            else:
                line.append((now, client, forecast.plain(len(line) + 1, len(line) + 1)))
        if not line:
            now = min(at for at, _ in wakes)
            continue
        batch, line = line[:64], line[64:]
        took = start + each * len(batch)
        forecast.pace.learn(len(batch), took)
        now += took * slower
        for came, client, foretold in batch:
            forecast.learn(foretold, now - came)
            wakes.append((now, client))
            if now > seconds / 2:
                waits.append(now - came)
        free_at = now
    capacity = 64 / ((start + each * 64) * slower)
    return len(waits) / (free_at - seconds / 2) / capacity, float(np.median(waits)), max(waits)


@pytest.mark.parametrize("slower", [1.0, 2.0, 4.0])
def test_who_is_accepted_under_overload_is_answered_in_time(slower: float) -> None:
    """Whether what is measured is all there is, or a fraction of it: most of the capacity is used, and the target held."""
    share, median, longest = overload(slower)
    assert share >= 0.7
    assert median <= 0.1
    assert longest <= 0.2


def test_forecasts_are_as_far_out_as_they_were() -> None:
    forecast = Forecast(0.1, 10)
    forecast.pace.learn(1, 0.05)
    for _ in range(200):
        forecast.learn(0.05, 0.15)
    assert forecast.wait(1, 0) == pytest.approx(0.15, rel=0.01)
    for _ in range(200):
        forecast.learn(0.05, 0.01)  # sooner than foretold is no reason to take in more than can be measured
    assert forecast.wait(1, 0) == pytest.approx(0.05, rel=0.01)
    for _ in range(200):
        forecast.learn(0.001, 0.1)  # who hardly waited says nothing about waiting
    assert forecast.ratio == pytest.approx(1.0, rel=0.01)
