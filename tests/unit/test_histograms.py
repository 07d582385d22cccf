"""Histograms and the two distances, against hand calculation and scipy."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from luban.bundle import reference
from luban.columns import Columns, Ragged


def test_a_shift_of_shares_by_hand() -> None:
    """Half and half against one and three quarters: (1/4)(ln 2) + (1/4)(ln 1.5), the half row a bin being nothing in a million."""
    known, found = np.array([10**6, 10**6]), np.array([5 * 10**5, 15 * 10**5])
    assert reference.stability(known, found) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5), abs=1e-5)


def test_distances_are_scipys() -> None:
    rng = np.random.default_rng(3)
    known, found = rng.integers(0, 90, 11), rng.integers(0, 70, 11)
    p, q = (counts + 0.5 for counts in (known, found))
    p, q = p / p.sum(), q / q.sum()
    assert reference.stability(known, found) == pytest.approx(entropy(p, q) + entropy(q, p))
    assert reference.divergence(known, found) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert reference.stability(known, known) == 0


def test_without_a_change_the_index_is_about_what_chance_makes_it() -> None:
    rng = np.random.default_rng(5)
    bins = reference.sketch(rng.normal(size=20_000))
    found = [
        reference.stability(np.array(bins["counts"]), reference.count(reference.places(rng.normal(size=400), bins), bins))
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(9 * (1 / 400 + 1 / 20_000), rel=0.15)


def test_bins_of_each_kind_of_column() -> None:
    values = np.arange(100.0)
    values[:7] = np.nan
    columns = Columns(
        {
            "number": values,
            "name": np.array([*[0] * 50, *[1] * 30, *[-1] * 20], np.int32),
            "text": Ragged.of(np.zeros(300, np.int32), [3] * 100),
            "picture": np.full((100, 1, 2, 2), 7, np.uint8),
            "\x00target": np.zeros(100),
        },
        np.arange(100),
    )
    found = reference.sketches(columns)
    assert set(found) == {"number", "name", "text", "picture"}
    assert sum(found["number"]["counts"]) == 100
    assert found["number"]["counts"][-1] == 7
    assert max(found["number"]["counts"][:-1]) - min(found["number"]["counts"][:-1]) <= 1
    assert found["name"] == {"codes": [-1, 0, 1], "counts": [20, 50, 30, 0]}
    assert found["text"] == {"edges": [3.0], "counts": [0, 100, 0]}
    assert all(map(reference.is_sketch, found.values()))
    assert reference.places(np.array([5, 0, -9]), found["name"]).tolist() == [3, 1, 3]


def test_answers() -> None:
    assert reference.of_answers(pl.DataFrame({"label": ["b", None, "a"]}), ["a", "b"]).tolist() == [1, -1, 0]  # type: ignore[union-attr]
    assert reference.of_answers(pl.DataFrame({"number": [1.5, 2.0]}), None).tolist() == [1.5, 2.0]  # type: ignore[union-attr]
    assert reference.of_answers(pl.DataFrame({"text": ["a"]}), None) is None


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"edges": [1], "counts": [1]}, {"edges": [2, 1], "counts": [1, 1, 1, 1]}, {"edges": ["a"], "counts": [1, 1, 1]},
     {"codes": [1], "counts": [0, 0]}, {"codes": [1], "counts": [-1, 5]}, {"codes": [1], "edges": [1], "counts": [1, 1]}, {"codes": [True], "counts": [1, 1]}, {"codes": [10**30], "counts": [1, 1]}],
)  # fmt: skip
def test_what_a_stranger_wrote(value: object) -> None:
    assert not reference.is_sketch(value)
