"""rlae: EASE whose self-similarity may be small instead of nought, and whose inputs drop out.

Moon, Kim and Lee 2023, "It's enough: relaxing diagonal constraints in linear autoencoders for recommendation", equations 10 and 13;
dropout in closed form: Steck 2020, "Autoencoders that don't overfit towards the identity". B users, I items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from luban.layers.gram import gram, matrix, relaxed

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {}, "small": {}, "base": {}}


class Rlae(nn.Module):
    """Weights of every item for every item."""

    objective = ""
    bytes_a_pair = 28

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Three dampers."""

        penalty: Annotated[float, Gt(0)] = 200.0
        """λ on the diagonal of the Gram matrix."""
        relax: Annotated[float, Ge(0), Lt(1)] = 0.1
        """ξ, the most that an item may weigh for itself; 0 is EASE's constraint."""
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.3
        """Share of every history dropped, on average over all ways to drop it."""

    weight: Tensor  # (I, I) from, to

    def __init__(self, config: Rlae.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("weight", torch.zeros(sizes.items, sizes.items))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """B = I - P diag(μ)."""
        counts = gram(matrix(batches, len(self.weight)))
        yield 0.3
        config = self.config
        self.weight.copy_(torch.from_numpy(relaxed(counts, penalty=config.penalty, relax=config.relax, dropout=config.dropout)))
        yield 1.0

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, I) what was taken."""
        return batch.dense(len(self.weight))

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query @ self.weight[:, start:stop]

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) what one item's having been taken adds to the score of another."""
        return self.weight[left, right]
