"""The law of scaling: by hand, and against the optimum in closed form."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from luban.scaling import REPEATS, Scaling, worth

LAW = Scaling(of_weights=406.4, by_weights=0.34, of_tokens=410.7, by_tokens=0.28)  # Hoffmann et al. 2022, table A3


def test_what_is_left_by_hand() -> None:
    """Gopher by Hoffmann et al. 2022, section D.3: 280 billion weights, 300 billion tokens, 1.993 in all and 1.69 of it beyond anyone."""
    assert LAW.left(weights=280e9, seen=300e9, different=1e15) == pytest.approx(0.052 + 0.251, abs=2e-3)


def test_the_best_of_a_budget_is_where_the_paper_has_it() -> None:
    """N = G·(C/6)^(β/(α+β)) with G = (αA/βB)^(1/(α+β)), eq. 4, for a budget of C = 6·N·D."""
    budget = 1e21
    best = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62) * (budget / 6) ** (0.28 / 0.62)
    sizes = np.geomspace(best / 30, best * 30, 4001)
    left = [LAW.left(weights=size, seen=budget / 6 / size, different=1e18) for size in sizes]
    assert sizes[int(np.argmin(left))] == pytest.approx(best, rel=2e-3)


def test_tokens_that_come_again_teach_less_and_less() -> None:
    assert worth(500.0, 1000.0) == 500.0
    assert worth(1000.0, 1000.0) == 1000.0
    assert 1.9 * 1000 < worth(2000.0, 1000.0) < 2000
    assert worth(1e9, 1000.0) == pytest.approx(1000 * (1 + REPEATS))
    seen = [worth(count * 1000.0, 1000.0) for count in range(1, 40)]
    assert all(before < after for before, after in pairwise(seen))
    assert worth(0.0, 0.0) == 1.0
