"""Batches of similar sizes: every example once; where a padded token costs as much as a real one, small ones are not padded to large ones."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from luban.columns import Columns
from luban.layers.attention import Attention, Shape
from luban.predicting import PASS, SPREAD, batches, works_by_token


def examples(sizes: list[int]) -> Columns:
    return Columns({"x": np.zeros(len(sizes))}, np.arange(len(sizes)), np.array(sizes))


@pytest.mark.parametrize("even", [False, True])
def test_every_example_stands_in_one_batch(even: bool) -> None:
    sizes = np.random.default_rng(1).integers(1, 120, 301).tolist()
    found = batches(examples(sizes), 64, even=even)
    assert sorted(np.concatenate(found).tolist()) == list(range(301))
    assert max(map(len, found)) <= 64


def test_even_batches_are_worth_a_pass_and_hardly_padded() -> None:
    sizes = [20] * 50 + [90] * 20 + [3] * 5
    plain, even = batches(examples(sizes), 512), batches(examples(sizes), 512, even=True)
    assert len(plain) == 1
    assert [sorted({sizes[place] for place in batch}) for batch in even] == [[3, 20], [90]]
    few = batches(examples([10] * 5 + [90] * 5), 512, even=True)
    assert len(few) == 1  # too few for two passes
    for batch in even[:-1]:
        assert sum(sizes[place] for place in batch) >= PASS
    drawn = np.random.default_rng(2).integers(1, 120, 400).tolist()
    for batch in batches(examples(drawn), 512, even=True)[:-1]:
        own = [drawn[place] for place in batch]
        assert max(own) * len(own) <= SPREAD * sum(own) or sum(own) - max(own) < PASS


def test_what_goes_from_step_to_step_is_not_cut_up() -> None:
    attention = Attention(Shape(width=8, heads=2))
    assert works_by_token(nn.Sequential(attention))
    assert not works_by_token(nn.Sequential(attention, nn.LSTM(3, 3)))
    assert not works_by_token(nn.Linear(3, 3))
