"""mixed: who took what, and what describes it, added; items without a history take the factors of those described alike.

The articles' third recommender: collaborative and content scores together. Collaborative: iALS; a new item's factors: the mean over its nearest by
description (Gantner et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", k-nearest-neighbour mapping).
B users, I items, F factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.layers.described import described, weighed
from luban.layers.folding import fold_in, upright
from luban.layers.gram import matrix
from luban.layers.least_squares import Spans, both_sides, factorise, standard
from luban.layers.towers import lent

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ("text", "category", "tags", "number", "date", "image")
SIZES = {"tiny": {"factors": 16}, "small": {"factors": 128}, "base": {"factors": 256}}


class Mixed(nn.Module):
    """A vector an item, and the descriptions."""

    objective = ""
    reads_content = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Both parts, and how much descriptions count."""

        share: Annotated[float, Ge(0), Le(1)] = 0.3
        """Of the descriptions' score in the sum."""
        neighbours: Annotated[int, Gt(0), Le(1000)] = 10
        """Items described alike that lend their factors to one without a history."""
        factors: Annotated[int, Gt(0), Le(4096)] = 128
        """Width of the vectors."""
        sweeps: Annotated[int, Gt(0), Le(1000)] = 8
        """Times that all users and all items are solved."""
        unobserved: Annotated[float, Gt(0), Le(1000)] = 0.3
        """α₀, what a pair that never met weighs against one that did."""
        penalty: Annotated[float, Gt(0), Le(1000)] = 0.3
        """λ, times the root of the row's frequency."""

    item: Tensor  # (I, F)

    def __init__(self, config: Mixed.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.told = weighed(described(sizes.content, sizes.items), 1.0)
        self.register_buffer("item", torch.zeros(sizes.items, config.factors))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """The factors, sweep by sweep; then those of items that nobody took."""
        users, config = matrix(batches, len(self.item)), self.config
        spans = both_sides(users)
        settings = {"factors": config.factors, "sweeps": config.sweeps, "block": config.factors, "steps": 2, "scale": 0.1}
        for share, item in factorise(*spans, **settings, **self.damping):
            if share == 1:
                self.item.copy_(upright(self.lent(item, spans[1].lengths > 0))[0])
            yield share

    def lent(self, item: Tensor, met: np.ndarray) -> Tensor:
        """(I, F) with the mean of the nearest by description where nobody took the item."""
        new, old = np.flatnonzero(~met), np.flatnonzero(met)
        if not len(new) or not len(old):
            return item
        near, share = lent(self.told, new, old, self.config.neighbours)
        out = item.clone()
        out[torch.from_numpy(new)] = (item[torch.from_numpy(near)] * torch.from_numpy(share)[..., None]).sum(1)
        return out

    @property
    def damping(self) -> dict[str, Any]:
        """What the solver and the folding in share."""
        return {"unobserved": self.config.unobserved, "penalty": self.config.penalty, "exponent": 0.5}

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, I) the scores themselves."""
        from scipy.sparse import csr_array

        lengths = batch.lengths.cpu().numpy()
        starts, history = np.r_[0, lengths.cumsum()], batch.history.cpu().numpy()
        taken = fold_in(Spans(starts, history, batch.amount.cpu().numpy()), self.item, **self.damping) @ self.item.T
        share = batch.amount.cpu().numpy() / np.repeat(np.maximum(1, lengths), lengths)
        profile = csr_array((share, history, starts), shape=(len(lengths), len(self.item))) @ self.told
        alike = torch.from_numpy((profile @ self.told.T).toarray().astype(np.float32))
        return (1 - self.config.share) * standard(taken) + self.config.share * standard(alike)

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query[:, start:stop]

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) cosine of the vectors."""
        return nn.functional.cosine_similarity(self.item[left], self.item[right])
