"""What a batch takes is learnt: a start and a share for each row."""

from __future__ import annotations

import numpy as np
import pytest

from luban.serving.pace import Pace


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
