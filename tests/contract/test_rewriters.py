"""What every model promises that answers a source at once (role "rewriter"), whatever it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from luban import catalog
from luban.roles import Vocabulary
from luban.schema import validate

WORDS, SPECIAL, ROWS = 29, 31, 53  # tokens of words, then one that goes on with a word, then two tags
MODELS = [entry.name for entry in catalog.entries("models").values() if entry.role == "rewriter"]
every = pytest.mark.parametrize("model", MODELS)


@dataclass(frozen=True)
class Batch:
    """The fields a solved rewriter may read."""

    source: Tensor
    known: Tensor
    targets: Tensor | None


def vocabulary() -> Vocabulary:
    """Token 30 goes on with a word, 31 and 32 ask for a language."""
    begins = np.ones(SPECIAL + 2, bool)
    begins[[0, 30]] = False
    return Vocabulary(SPECIAL + 2, SPECIAL, 0, begins)


@cache
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each word plus seven is the answer, in one language of two; a word may have a second token."""
    rng = np.random.default_rng(0)
    sources, targets = [], []
    for row in range(ROWS):
        words = rng.integers(1, 23, rng.integers(2, 7))
        long = [[word, 30] if word == 5 else [word] for word in words.tolist()]
        sources.append(np.array([SPECIAL + row % 2, *(token for word in long for token in word), 0]))
        shift = 7 if row % 2 else 0
        targets.append(np.array([*(token + (shift if token != 30 else 0) for word in long for token in word), 0]))
    return sources, targets


def batches(rows: list[int]) -> list[Batch]:
    """Three at a time, padded."""
    sources, targets = pairs()
    found = []
    for start in range(0, len(rows), 3):
        part = rows[start : start + 3]
        left, right = (torch.nn.utils.rnn.pad_sequence([torch.from_numpy(texts[row]) for row in part], True, value)
                       for texts, value in ((sources, 0), (targets, -1)))  # fmt: skip
        lengths = torch.tensor([len(sources[row]) for row in part])
        found.append(Batch(left, torch.arange(left.shape[1]) < lengths[:, None], right))
    return found


def made(model: str) -> Any:
    config = validate(catalog.load("models", model).Config, {}, where="x")
    return catalog.load("models", model)(config, vocabulary(), 5000)


@cache
def solved(model: str) -> Any:
    net = made(model)
    shares = list(net.solve(batches(list(range(ROWS)))))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return net


@every
def test_one_answer_a_source_of_words_that_are_text(model: str) -> None:
    sources, _ = pairs()
    found = solved(model).rewrite(sources)
    assert len(found) == len(sources)
    for tokens, log in found:
        assert all(0 < token < SPECIAL for token in tokens)
        assert math.isfinite(log)
        assert log <= 1e-9


@every
def test_a_source_never_depends_on_its_neighbours(model: str) -> None:
    sources, _ = pairs()
    net = solved(model)
    assert [net.rewrite([source])[0] for source in sources[:7]] == net.rewrite(sources[:7])


@every
def test_the_order_of_the_rows_changes_nothing_that_is_solved(model: str) -> None:
    other = made(model)
    list(other.solve(batches(list(range(ROWS))[::-1])))
    sources, _ = pairs()
    for (one, log), (two, again) in zip(solved(model).rewrite(sources), other.rewrite(sources), strict=True):
        assert one == two
        assert log == pytest.approx(again, abs=1e-6)


@every
def test_what_is_kept_is_in_buffers_of_a_size_known_before(model: str) -> None:
    net, twin = solved(model), made(model)
    assert not list(net.parameters())
    twin.load_state_dict(net.state_dict(), strict=True)
    sources, _ = pairs()
    assert twin.rewrite(sources) == net.rewrite(sources)


@every
def test_empty_and_unknown_sources_are_answered(model: str) -> None:
    found = solved(model).rewrite([np.array([SPECIAL, 0]), np.array([29, 28, 0]), np.array([], np.int64)])
    assert found[0][0] == found[2][0] == []
    assert set(found[1][0]) <= {29, 28}


def test_the_table_knows_words_and_languages() -> None:
    """What became of each word in its language, a word of two tokens among them; others are copied."""
    net = solved("word_table")
    (seven, _), (same, _), (copied, log) = net.rewrite(
        [np.array([SPECIAL + 1, 1, 5, 30, 2, 0]), np.array([SPECIAL, 1, 5, 30, 2, 0]), np.array([28, 0])]
    )
    assert seven == [8, 12, 30, 9]
    assert same == [1, 5, 30, 2]
    assert copied == [28]
    assert log == pytest.approx(math.log(0.5))


def test_one_sweep_is_the_hand_calculation() -> None:
    """(a b → x y), (a → x): Brown et al. 1993. With the word that is not there, t(x|a) after one sweep is (1/3 + 1/2) / (1/3 + 1/3 + 1/2) = 5/7."""
    from luban.models.word_table import Together

    met = Together(100)
    met.add(-1, [(1,), (2,)], [(8,), (9,)])
    met.add(-1, [(1,)], [(8,)])
    chance = met.sweep(np.ones(len(met.unique)))
    named = {(int(pair // met.width), int(pair % met.width)): value for pair, value in zip(met.unique, chance, strict=True)}
    assert named[1, 0] == pytest.approx(5 / 7)
    assert named[2, 0] == pytest.approx(1 / 2)
    assert sum(value for (source, _), value in named.items() if source == 1) == pytest.approx(1)


def test_the_lead_has_as_many_words_as_answers_have() -> None:
    sources, targets = pairs()
    mean = np.mean([sum(token not in (0, 30) for token in target.tolist()) for target in targets])
    longest = max(sources, key=len)
    assert int(solved("lead").count) == round(float(mean))
    kept = solved("lead").rewrite([longest])[0][0]
    assert sum(token != 30 for token in kept) == round(float(mean))
