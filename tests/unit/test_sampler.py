"""The order of examples: a bijection for every count and key, every row once an epoch, its state one position."""

from __future__ import annotations

import tracemalloc
from itertools import islice, takewhile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.data import sampler
from luban.data.sampler import Sampler, cuts, permute


@given(st.integers(1, 700), st.integers(0, 2**63))
@settings(max_examples=60)
def test_the_permutation_is_a_bijection(count: int, key: int) -> None:
    assert sorted(permute(np.arange(count), count, key).tolist()) == list(range(count))


def test_the_permutation_mixes_and_obeys_its_key() -> None:
    one, other = permute(np.arange(10_007), 10_007, 1), permute(np.arange(10_007), 10_007, 2)
    assert (one == np.arange(10_007)).mean() < 0.002
    assert (one == other).mean() < 0.002
    assert abs(np.corrcoef(one, np.arange(10_007))[0, 1]) < 0.05
    np.testing.assert_array_equal(permute(np.array([5, 9_000]), 10_007, 1), one[[5, 9_000]])


def epoch_of(made: Sampler, epoch: int) -> list[np.ndarray]:
    return [rows for _, rows in takewhile(lambda step: step[0][0] == epoch, made.start((epoch, 0, 0)))]


@pytest.mark.parametrize("sizes", [None, np.random.default_rng(0).integers(1, 90, 307)])
@pytest.mark.parametrize("window", [97, 65_536])
def test_every_row_comes_once_an_epoch_in_another_order(sizes: np.ndarray | None, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "WINDOW", window)
    made = Sampler(307, sizes, 13, seed=3)
    epochs = [np.concatenate(epoch_of(made, epoch)) for epoch in range(3)]
    for rows in epochs:
        assert sorted(rows.tolist()) == list(range(307))
    assert not np.array_equal(epochs[0], epochs[1])
    other = np.concatenate(epoch_of(Sampler(307, sizes, 13, seed=4), 0))
    assert not np.array_equal(epochs[0], other)


@pytest.mark.parametrize("sizes", [None, np.random.default_rng(0).integers(1, 90, 307)])
def test_a_position_is_all_it_takes_to_go_on(sizes: np.ndarray | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "WINDOW", 97)
    made = Sampler(307, sizes, 13, seed=3)
    whole = list(islice(made.start(), 61))
    for stop in (1, 7, 24, 25, 50):
        rest = islice(Sampler(307, sizes, 13, seed=3).start(whole[stop - 1][0]), 61 - stop)
        for (position, rows), (again, same) in zip(whole[stop:], rest, strict=True):
            assert position == again
            np.testing.assert_array_equal(rows, same)


def test_no_batch_costs_more_than_allowed_but_for_single_rows() -> None:
    sizes = np.random.default_rng(1).integers(1, 400, 1009)
    sizes[17] = 90_000
    made = Sampler(1009, sizes, 7, seed=0)
    for rows in made.batches(0, 0):
        assert len(rows) == 1 or sizes[rows].max() * len(rows) <= made.allowance
    assert any(len(rows) == 1 and rows[0] == 17 for rows in made.batches(0, 0))


def test_cuts_by_hand() -> None:
    assert cuts(np.array([1, 1, 2, 3, 3, 9]), 6) == [3, 5]  # [1 1 2] costs 6, [3 3] costs 6, [9] stands alone
    assert cuts(np.array([], np.int64), 6) == []


@pytest.mark.parametrize("batch_size", [64, 256])
def test_padding_is_small_on_lengths_as_texts_have_them(batch_size: int) -> None:
    sizes = np.clip(np.random.default_rng(2).lognormal(3.3, 0.9, 14_009), 1, 256).astype(np.int64)
    made = Sampler(14_009, sizes, batch_size, seed=0)
    assert 0 < made.padding() <= 0.05
    assert Sampler(14_009, None, batch_size, seed=0).padding() == 0


def test_batches_of_like_sizes_come_in_no_order_of_size() -> None:
    sizes = np.random.default_rng(2).integers(1, 200, 3001)
    means = [sizes[rows].mean() for rows in Sampler(3001, sizes, 16, seed=0).batches(0, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.25


def test_a_billion_rows_need_no_memory_of_their_own() -> None:
    made = Sampler(10**9, None, 256, seed=0)
    tracemalloc.start()
    (position, rows) = next(made.start((3, 10_000, 17)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert position == (3, 10_000, 18)
    assert len(np.unique(rows)) == 256
    assert rows.min() >= 0
    assert rows.max() < 10**9
    assert peak < 20_000_000
