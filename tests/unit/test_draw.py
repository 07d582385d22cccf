"""Draws are a pure function of (seed, epoch, example, name, place), and look like chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.columns import Ragged
from luban.draw import MASK, Draw, key_of, mix

ROWS = np.array([4, 0, 10**12, 7])


def draw(example: np.ndarray = ROWS, *, seed: int = 0, epoch: int = 0, training: bool = True) -> Draw:
    return Draw(seed, epoch, example, training)


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator, on plain integers."""
    out = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        out.append(z ^ (z >> 31))
    return out


def test_the_mixer_is_splitmix64() -> None:
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]  # Vigna's reference output
    states = np.array([1234567, 0, MASK], np.uint64)
    assert mix(states).tolist() == [splitmix64(int(state), 1)[0] for state in states]
    assert key_of(1234567) == 6457827717110365317


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}])
def test_seed_and_epoch_change_every_draw(change: dict[str, int]) -> None:
    assert not np.intersect1d(draw().bits("a", 5), draw(**change).bits("a", 5)).size


def test_names_columns_and_examples_change_every_draw() -> None:
    bits = [draw().bits("a", 5), draw().bits("b", 5), draw().within("x").bits("a", 5), draw().within("y").bits("a", 5)]
    assert len(np.unique(np.concatenate(bits))) == 4 * 4 * 5


def test_names_longer_than_a_word_count_to_their_end() -> None:
    assert len({key_of("augment.flip.1"), key_of("augment.flip.2"), key_of("augment.flip"), key_of("a", "b"), key_of("ab")}) == 5


def test_an_example_draws_the_same_in_any_batch() -> None:
    whole = draw().normal("a", 3, 2)
    np.testing.assert_array_equal(draw(ROWS[[3, 1]]).normal("a", 3, 2), whole[[3, 1]])


def test_evaluation_does_not_know_the_epoch() -> None:
    one, other = (draw(epoch=epoch, training=False).uniform("a", 4) for epoch in (0, 5))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, draw().uniform("a", 4))


def test_draws_along_spans_do_not_depend_on_padding_or_neighbours() -> None:
    spans = Ragged.of(np.zeros(9), [2, 0, 5, 2])
    along = draw().along(spans, "negative", 97)
    assert along.lengths.tolist() == [2, 0, 5, 2]
    alone = draw(ROWS[[2]]).along(spans.take(np.array([2])), "negative", 97)
    np.testing.assert_array_equal(alone[0], along[2])
    longer = draw(ROWS[[2]]).along(Ragged.of(np.zeros(7), [7]), "negative", 97)
    np.testing.assert_array_equal(longer[0][:5], along[2])


@given(st.integers(1, 1000), st.integers(0, 2**63))
def test_integers_stay_below(high: int, seed: int) -> None:
    values = draw(np.arange(31), seed=seed).integers("a", high)
    assert values.dtype == np.int64
    assert ((values >= 0) & (values < high)).all()


def test_uniform_and_normal_have_their_moments() -> None:
    many = draw(np.arange(20_011))
    uniform, normal = many.uniform("u", 3).ravel(), many.normal("n", 3).ravel()
    assert uniform.dtype == normal.dtype == np.float32
    assert 0 < uniform.min() < uniform.max() < 1
    error = 5 / np.sqrt(len(uniform))
    assert abs(uniform.mean() - 0.5) < error * np.sqrt(1 / 12)
    assert abs(normal.mean()) < error
    assert abs(normal.var() - 1) < error * np.sqrt(2)
    counts = np.bincount(many.integers("i", 7), minlength=7)
    expected = 20_011 / 7
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # χ² with 6 degrees of freedom, p = 1e-4
    places = many.uniform("u", 2)
    assert abs(np.corrcoef(places.T)[0, 1]) < 5 / np.sqrt(20_011)
