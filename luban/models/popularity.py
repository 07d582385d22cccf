"""popularity: what most users took, the same for all; the first rung of a recommender's ladder.

B users, I items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()


class Popularity(nn.Module):
    """One number an item."""

    objective = ""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to set."""

    share: Tensor  # (I,)

    def __init__(self, config: Popularity.Config, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(sizes.items))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Share of the users who took each."""
        users = 0
        for batch in batches:
            self.share.add_(torch.bincount(batch.history, minlength=len(self.share)))
            users += len(batch.lengths)
        self.share.div_(max(1, users))
        yield 1.0

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, 1)"""
        return self.share.new_zeros(len(batch.lengths), 1)

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query + self.share[start:stop]

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) nothing in a history speaks for an item."""
        return self.share.new_zeros(len(left))
