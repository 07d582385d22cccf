"""How unlike the items of a list are, and lists made more so. B users, L places, D width of an item's sketch."""

from __future__ import annotations

import torch
from torch import Tensor

from luban.recommending.lists import CUTOFFS


def apart(items: Tensor, sketch: Tensor) -> Tensor:
    """(B, cutoffs) mean of 1 - cosine over the pairs among the first items; -1 for fewer than two."""
    named = items >= 0
    vectors = sketch[items.clamp(min=0)] * named[..., None]  # (B, L, D)
    whole = vectors.cumsum(1).square().sum(2)  # of sums: the squares themselves, and each pair twice
    own, count = vectors.square().sum(2).cumsum(1), named.cumsum(1)
    pairs = (count * (count - 1)).double()
    cosine = torch.where(pairs > 0, (whole - own).double() / pairs, 2.0)
    places = torch.tensor([min(cutoff, items.shape[1]) - 1 for cutoff in CUTOFFS])
    return 1 - cosine[:, places]


def reranked(items: Tensor, scores: Tensor, sketch: Tensor, share: float, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` places chosen one by one: (1 - share) · score - share · likeness to those chosen; the others follow in their order.

    Maximal marginal relevance (Carbonell and Goldstein 1998); scores stretched to 0 … 1 over the list.
    """
    named = items >= 0
    low = scores.masked_fill(~named, torch.inf).amin(1, keepdim=True)
    span = (scores.masked_fill(~named, -torch.inf).amax(1, keepdim=True) - low).clamp(min=1e-12)
    worth = ((scores - low) / span).masked_fill(~named, -torch.inf)
    vectors, likeness = sketch[items.clamp(min=0)], torch.zeros_like(worth)
    order, taken = torch.arange(items.shape[1]).repeat(len(items), 1), torch.zeros_like(named)
    chosen = []
    for _ in range(min(count, items.shape[1])):
        value = ((1 - share) * worth - share * likeness).masked_fill(taken, -torch.inf).nan_to_num(nan=-torch.inf)
        value = torch.where(named & ~taken, value, torch.where(taken, -torch.inf, -1e30))
        place = value.argmax(1)
        chosen.append(place)
        taken = taken.scatter(1, place[:, None], True)
        near = torch.einsum("bld,bd->bl", vectors, vectors[torch.arange(len(items)), place])
        likeness = near if len(chosen) == 1 else torch.maximum(likeness, near)
    first = torch.stack(chosen, 1)
    rest = order[~taken].reshape(len(items), -1)
    places = torch.cat([first, rest], 1)
    return items.gather(1, places), scores.gather(1, places)
