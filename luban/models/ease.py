"""ease: a linear model from items to items without self-similarity, in closed form.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equation 8. B users, I items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Gt
from torch import Tensor, nn

from luban.layers.gram import gram, inverse, matrix

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {}, "small": {}, "base": {}}


class Ease(nn.Module):
    """Weights of every item for every other."""

    objective = ""
    bytes_a_pair = 28  # of items, while it is solved: the Gram matrix, its inverse and a copy in float64, the weights in float32

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How strongly weights are drawn to nought."""

        penalty: Annotated[float, Gt(0)] = 500.0
        """λ on the diagonal of the Gram matrix; more for fewer or noisier interactions."""

    weight: Tensor  # (I, I) from, to

    def __init__(self, config: Ease.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("weight", torch.zeros(sizes.items, sizes.items))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """B = I - P diag(1 / diag P), P = (XᵀX + λ I)⁻¹."""
        counts = gram(matrix(batches, len(self.weight)))
        yield 0.3
        counts[np.diag_indices_from(counts)] += self.config.penalty
        inverted = inverse(counts)
        yield 0.9
        weight = inverted / -np.diagonal(inverted)
        np.fill_diagonal(weight, 0)
        self.weight.copy_(torch.from_numpy(weight))
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
