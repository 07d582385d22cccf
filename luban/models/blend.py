"""blend: the scores of iALS and RLAE, each made comparable user by user, added.

Two views of the same counts, few factors and many direct weights, err on different items. B users, I items, F factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from luban.layers.folding import fold_in, upright
from luban.layers.gram import gram, matrix, relaxed
from luban.layers.least_squares import Spans, both_sides, factorise, standard

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"factors": 16}, "small": {"factors": 128}, "base": {"factors": 256}}


class Blend(nn.Module):
    """Weights of every item for every item, and a vector an item."""

    objective = ""
    bytes_a_pair = 28

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Both parts, and how much the first counts."""

        share: Annotated[float, Ge(0), Le(1)] = 0.5
        """Of the factors' score in the sum; the rest is the direct weights'."""
        factors: Annotated[int, Gt(0), Le(4096)] = 128
        """Width of the vectors."""
        sweeps: Annotated[int, Gt(0), Le(1000)] = 8
        """Times that all users and all items are solved."""
        unobserved: Annotated[float, Gt(0), Le(1000)] = 0.3
        """α₀, what a pair that never met weighs against one that did."""
        damping: Annotated[float, Gt(0), Le(1000)] = 0.3
        """λ of the factors, times the frequency of the row."""
        penalty: Annotated[float, Gt(0)] = 200.0
        """λ of the direct weights, on the diagonal of the Gram matrix."""
        relax: Annotated[float, Ge(0), Lt(1)] = 0.1
        """ξ, the most that an item may weigh for itself."""
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.3
        """Share of every history dropped for the direct weights."""

    weight: Tensor  # (I, I) from, to
    item: Tensor  # (I, F)

    def __init__(self, config: Blend.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("weight", torch.zeros(sizes.items, sizes.items))
        self.register_buffer("item", torch.zeros(sizes.items, config.factors))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """The direct weights, then the factors."""
        users, config = matrix(batches, len(self.item)), self.config
        weight = relaxed(gram(users), penalty=config.penalty, relax=config.relax, dropout=config.dropout)
        self.weight.copy_(torch.from_numpy(weight))
        yield 0.5
        spans = both_sides(users)
        settings = {"factors": config.factors, "sweeps": config.sweeps, "block": config.factors, "steps": 2, "scale": 0.1}
        for share, item in factorise(*spans, **settings, **self.held_back):
            if share == 1:
                self.item.copy_(upright(item)[0])
            yield 0.5 + share / 2

    @property
    def held_back(self) -> dict[str, Any]:
        """What the solver and the folding in share."""
        return {"unobserved": self.config.unobserved, "penalty": self.config.damping, "exponent": 0.5}

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, I) the scores themselves: each part less its mean over the items, over its spread."""
        starts = np.r_[0, batch.lengths.cumsum(0).cpu().numpy()]
        spans = Spans(starts, batch.history.cpu().numpy(), batch.amount.cpu().numpy())
        by_factors = fold_in(spans, self.item, **self.held_back) @ self.item.T
        direct = batch.dense(len(self.item)) @ self.weight
        return self.config.share * standard(by_factors) + (1 - self.config.share) * standard(direct)

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query[:, start:stop]

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) what one item's having been taken adds to the direct score of another."""
        return self.weight[left, right]
