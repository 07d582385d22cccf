"""ials: factors of users and items by alternating least squares over implicit feedback.

Rendle et al. 2021, "Revisiting the performance of iALS on item recommendation benchmarks"; in blocks: "iALS++". A user's factors are never
kept: they are solved again from the history that is asked about, so new users need no training. B users, I items, F factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.layers.folding import fold_in, upright
from luban.layers.gram import matrix
from luban.layers.least_squares import Spans, both_sides, factorise

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"factors": 16}, "small": {"factors": 128}, "base": {"factors": 256}}


class Ials(nn.Module):
    """A vector an item."""

    objective = ""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The factors, and how strongly they are held back."""

        factors: Annotated[int, Gt(0), Le(4096)] = 128
        """Width of the vectors."""
        sweeps: Annotated[int, Gt(0), Le(1000)] = 8
        """Times that all users and all items are solved."""
        unobserved: Annotated[float, Gt(0), Le(1000)] = 0.3
        """α₀, what a pair that never met weighs against one that did."""
        penalty: Annotated[float, Gt(0), Le(1000)] = 0.3
        """λ, times the frequency of the row."""
        exponent: Annotated[float, Ge(0), Le(2)] = 0.5
        """ν of the frequency: 0 = every row alike, 1 = by its count."""
        block: Annotated[int, Gt(0), Le(4096)] = 128
        """Dimensions solved together where `steps` is 0; time grows with its square."""
        steps: Annotated[int, Ge(0), Le(100)] = 2
        """Conjugate gradients in each sweep, preconditioned, from where the last one ended; 0 = exactly, or block by block."""
        scale: Annotated[float, Gt(0), Le(10)] = 0.1
        """Standard deviation of the first vectors' length."""

    item: Tensor  # (I, F)

    def __init__(self, config: Ials.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("item", torch.zeros(sizes.items, config.factors))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Sweep by sweep."""
        users, config = matrix(batches, len(self.item)), self.config
        spans = both_sides(users)
        settings = {"factors": config.factors, "sweeps": config.sweeps, "block": config.block, "steps": config.steps, "scale": config.scale}
        for share, item in factorise(*spans, **settings, **self.damping):
            if share == 1:
                self.item.copy_(upright(item)[0])
            yield share

    @property
    def damping(self) -> dict[str, Any]:
        """What the solver and the folding in share."""
        return {"unobserved": self.config.unobserved, "penalty": self.config.penalty, "exponent": self.config.exponent}

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, F) factors of the users."""
        starts = np.r_[0, batch.lengths.cumsum(0).cpu().numpy()]
        return fold_in(Spans(starts, batch.history.cpu().numpy(), batch.amount.cpu().numpy()), self.item, **self.damping)

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query @ self.item[start:stop].T

    def vectors_of(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) users and (I, D) items, whose products are the scores."""
        return query, self.item

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) cosine of the vectors."""
        return nn.functional.cosine_similarity(self.item[left], self.item[right])
