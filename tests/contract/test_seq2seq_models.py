"""What every model promises that answers a sequence with a sequence (role "seq2seq"), whatever it is made of."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from luban import catalog
from luban.schema import validate

TOKENS, ROWS, READ, STEPS = 23, 7, 13, 11
MODELS = [entry.name for entry in catalog.entries("models").values() if entry.role == "seq2seq"]
every = pytest.mark.parametrize("model", MODELS)


@cache
def ready(model: str) -> Any:
    """The tiny one, with weights away from zero."""
    torch.manual_seed(0)
    config = validate(catalog.load("models", model).Config, catalog.find("models", model).stated["SIZES"]["tiny"], where="x")
    net = catalog.load("models", model)(config, TOKENS, ROWS * STEPS).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def drawn(steps: int, seed: int) -> Tensor:
    """(ROWS, steps) tokens."""
    return torch.randint(1, TOKENS, (ROWS, steps), generator=torch.Generator().manual_seed(seed))


def sources() -> tuple[Tensor, Tensor]:
    """Tokens of sources of 13, 12, … tokens, and which are there."""
    known = torch.arange(READ) < (READ - torch.arange(ROWS))[:, None]
    return torch.where(known, drawn(READ, 1), 0), known


def said(model: str, tokens: Tensor, source: Tensor, known: Tensor) -> Tensor:
    """(B, T, V) chances of what follows."""
    net = ready(model)
    with torch.inference_mode():
        return net.logits(net.hidden(tokens, net.encode(source, known))).softmax(-1)


def near(one: Tensor, other: Tensor) -> None:
    """But for the order of sums."""
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@every
def test_chances_are_finite_and_of_every_token(model: str) -> None:
    found = said(model, drawn(STEPS, 2), *sources())
    assert found.shape == (ROWS, STEPS, TOKENS)
    assert (found > 0).all()
    assert ready(model).num_tokens == TOKENS
    assert ready(model).context >= READ


@every
def test_what_follows_changes_nothing_before_it(model: str) -> None:
    tokens = drawn(STEPS, 2)
    other = torch.cat([tokens[:, :8], (tokens[:, 8:] + 1) % TOKENS], 1)
    near(said(model, tokens, *sources())[:, :8], said(model, other, *sources())[:, :8])


@every
def test_the_source_is_read_all_of_it(model: str) -> None:
    source, known = sources()
    tokens, whole = drawn(STEPS, 2), said(model, drawn(STEPS, 2), source, known)
    for place in (0, READ - 1):
        other = source.clone()
        other[0, place] = other[0, place] % (TOKENS - 1) + 1
        assert (said(model, tokens, other, known)[0] - whole[0]).abs().max() > 1e-5


@every
def test_neighbours_and_padding_change_nothing(model: str) -> None:
    source, known = sources()
    tokens, whole = drawn(STEPS, 2), said(model, drawn(STEPS, 2), source, known)
    for row in (0, 4):
        alone = known[row].sum()
        near(said(model, tokens[row : row + 1], source[row : row + 1, :alone], known[row : row + 1, :alone]), whole[row : row + 1])
    near(said(model, tokens, torch.where(known, source, 5), known), whole)


@every
def test_an_empty_source_is_answered_too(model: str) -> None:
    source, known = sources()
    known = known & (torch.arange(ROWS) != 2)[:, None]
    assert said(model, drawn(STEPS, 2), source, known).isfinite().all()


@every
def test_tokens_one_by_one_are_as_all_at_once(model: str) -> None:
    source, known = sources()
    tokens, whole, net = drawn(STEPS, 2), said(model, drawn(STEPS, 2), source, known), ready(model)
    with torch.inference_mode():
        memory, cache = net.encode(source, known), net.cache(ROWS, STEPS)
        for place in range(STEPS):
            if place == 6:  # some sources are done: those that stay keep what they hold
                rows = torch.tensor([5, 0, 3])
                cache.reorder(rows)
                memory, tokens, whole = memory.reorder(rows), tokens[rows], whole[rows]
            found = net.logits(net.hidden(tokens[:, place : place + 1], memory, cache=cache)).softmax(-1)
            cache.lengths[: len(tokens)] += 1
            near(found[:, 0], whole[:, place])


@every
def test_several_answers_to_one_source_stand_side_by_side(model: str) -> None:
    source, known = sources()
    net = ready(model)
    tokens = torch.stack([drawn(STEPS, seed) for seed in (2, 3, 4)], 1)  # (B, 3, T)
    with torch.inference_mode():
        memory = net.encode(source, known)
        together = net.logits(net.hidden(tokens.flatten(0, 1), memory)).softmax(-1).unflatten(0, (ROWS, 3))
        cache = net.cache(3 * ROWS, STEPS)
        first = net.logits(net.hidden(tokens.flatten(0, 1)[:, :1], memory, cache=cache)).softmax(-1).unflatten(0, (ROWS, 3))
    for number in range(3):
        alone = said(model, tokens[:, number], source, known)
        near(together[:, number], alone)
        near(first[:, number], alone[:, :1])


@every
def test_looks_are_shares_of_the_source(model: str) -> None:
    source, known = sources()
    with torch.inference_mode():
        memory = ready(model).encode(source, known)
        found = ready(model).attention(drawn(STEPS, 2), memory)
    assert found.shape == (ROWS, STEPS, READ)
    torch.testing.assert_close(found.sum(-1), torch.ones(ROWS, STEPS))
    assert (found * ~known[:, None]).abs().max() == 0
