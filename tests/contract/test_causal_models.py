"""What every model promises that says what follows (role "causal"), whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from luban import catalog
from luban.schema import validate

TOKENS, ROWS, STEPS = 23, 7, 19
MODELS = [entry.name for entry in catalog.entries("models").values() if entry.role == "causal"]
every = pytest.mark.parametrize("model", MODELS)


@dataclass(frozen=True)
class Batch:
    """The fields a solved model may read."""

    tokens: Tensor
    targets: Tensor
    segments: Tensor | None = None


def text() -> Batch:
    """Each token is followed by the next one but seven, now and then by any."""
    generator = torch.Generator().manual_seed(0)
    found = (torch.arange(STEPS + 1) * 7 + torch.arange(ROWS)[:, None]) % TOKENS
    odd = torch.rand(found.shape, generator=generator) < 0.2
    found = torch.where(odd, torch.randint(0, TOKENS, found.shape, generator=generator), found)
    return Batch(found[:, :-1], found[:, 1:])


@cache
def ready(model: str) -> Any:
    """The tiny one; solved, or with weights away from zero."""
    torch.manual_seed(0)
    config = validate(catalog.load("models", model).Config, catalog.find("models", model).stated["SIZES"]["tiny"], where="x")
    net = catalog.load("models", model)(config, TOKENS, ROWS * STEPS).eval()
    with torch.no_grad():
        if hasattr(net, "solve"):
            shares = list(net.solve([text()]))
            assert 0 <= shares[0] <= shares[-1] == 1
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def said(model: str, tokens: Tensor, **options: Any) -> Tensor:
    """(B, T, V) chances of what follows."""
    net = ready(model)
    with torch.inference_mode():
        return net.logits(net.hidden(tokens, **options)).softmax(-1)


@every
def test_chances_are_finite_and_of_every_token(model: str) -> None:
    found = said(model, text().tokens)
    assert found.shape == (ROWS, STEPS, TOKENS)
    assert (found > 0).all()
    assert ready(model).num_tokens == TOKENS
    assert ready(model).context >= STEPS


@every
def test_what_follows_changes_nothing_before_it(model: str) -> None:
    tokens = text().tokens
    other = torch.cat([tokens[:, :8], (tokens[:, 8:] + 1) % TOKENS], 1)
    torch.testing.assert_close(said(model, tokens)[:, :8], said(model, other)[:, :8])


@every
def test_neighbours_change_nothing(model: str) -> None:
    tokens = text().tokens
    torch.testing.assert_close(said(model, tokens[2:3]), said(model, tokens)[2:3], rtol=1e-4, atol=1e-6)


@every
def test_documents_are_apart(model: str) -> None:
    tokens = text().tokens
    segments = (torch.arange(STEPS) >= 8).long().expand(ROWS, -1)
    alone = torch.cat([said(model, tokens[:, :8]), said(model, tokens[:, 8:])], 1)
    torch.testing.assert_close(said(model, tokens, segments=segments), alone, rtol=1e-4, atol=1e-6)


@every
def test_tokens_one_by_one_are_as_all_at_once(model: str) -> None:
    tokens, whole, cache = text().tokens[:3], said(model, text().tokens[:3]), ready(model).cache(4, STEPS)
    first = said(model, tokens[:, :6], cache=cache)
    torch.testing.assert_close(first, whole[:, :6], rtol=1e-4, atol=1e-6)
    cache.lengths[:3] = torch.tensor([6, 2, 4])
    for _ in range(5):
        place = cache.lengths[:3].clone()
        found = said(model, tokens.gather(1, place[:, None]), cache=cache)
        torch.testing.assert_close(found[:, 0], whole[torch.arange(3), place], rtol=1e-4, atol=1e-6)
        cache.lengths[:3] += 1


@every
def test_some_tokens_of_each_are_as_all_at_once(model: str) -> None:
    tokens, whole, cache = text().tokens[:3], said(model, text().tokens[:3]), ready(model).cache(5, STEPS)
    said(model, tokens[:, :6], cache=cache, first=1)
    known, counts = torch.tensor([6, 2, 4]), torch.tensor([1, 4, 3])
    cache.lengths[1:4] = known
    there = torch.arange(4) < counts[:, None]
    places = (known[:, None] + torch.arange(4)).clamp(max=STEPS - 1)
    found = said(model, tokens.gather(1, places).where(there, 0), cache=cache, first=1, there=there)
    wanted = torch.cat([whole[row, begin : begin + count] for row, (begin, count) in enumerate(zip(known, counts, strict=True))])
    torch.testing.assert_close(found, wanted[None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", [name for name in MODELS if hasattr(catalog.load("models", name), "solve")])
def test_a_solved_model_learns_what_follows_and_has_nothing_to_train(model: str) -> None:
    batch, net = text(), ready(model)
    found = said(model, batch.tokens).gather(-1, batch.targets[..., None]).log().mean()
    assert found > -1.5  # every token alike would be -3.1
    assert not list(net.parameters())
    assert list(net.buffers())
