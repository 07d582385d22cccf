"""item_knn: items taken by the users who took those of the history.

s_ij = Σ_u r_ui r_uj / (√d_i √d_j), the articles' root-degree weighting (the cosine), shrunk by how few users tell; y_ui = Σ_{j ∈ N_i} s_ij r_uj
(Sarwar et al. 2001). B users, I items, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.layers.gram import matrix
from luban.layers.nearest import nearest

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"neighbours": 20}, "small": {"neighbours": 100}, "base": {"neighbours": 400}}


class ItemKnn(nn.Module):
    """For each item its nearest, and how near they are."""

    objective = ""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many speak for an item, and how much a few users are trusted."""

        neighbours: Annotated[int, Gt(0), Le(100_000)] = 100
        """Items that speak for an item."""
        shrink: Annotated[float, Ge(0)] = 10.0
        """h in n / (n + h), n the users two items share."""
        normalise: bool = False
        """Divide an item's score by the similarity of all its neighbours, met or not."""

    near: Tensor  # (I, K) int32, the neighbours of each item
    similarity: Tensor  # (I, K), 0 = none

    def __init__(self, config: ItemKnn.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.items = config, sizes.items
        width = min(config.neighbours, max(1, sizes.items - 1))
        self.register_buffer("near", torch.zeros(sizes.items, width, dtype=torch.int32))
        self.register_buffer("similarity", torch.zeros(sizes.items, width))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Count pairs in blocks of items, keep each item's nearest."""
        users = matrix(batches, self.items)
        for start, stop, near, similarity in nearest(users.T.tocsr(), self.near.shape[1], self.config.shrink):
            self.near[start:stop] = torch.from_numpy(near)
            self.similarity[start:stop] = torch.from_numpy(similarity)
            yield stop / self.items

    def query(self, batch: Histories, memory: Any) -> Any:
        """The histories as a sparse matrix (B, I)."""
        from scipy.sparse import csr_array

        starts = np.r_[0, batch.lengths.cumsum(0).numpy()]
        return csr_array((batch.amount.numpy(), batch.history.numpy(), starts), shape=(len(batch.lengths), self.items))

    def score(self, query: Any, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        from scipy.sparse import csr_array

        values, near = self.similarity[start:stop].numpy(), self.near[start:stop].numpy()
        if self.config.normalise:
            values = values / np.maximum(values.sum(1, keepdims=True), 1e-12)
        starts = np.arange(len(near) + 1) * near.shape[1]
        weights = csr_array((values.reshape(-1), near.reshape(-1), starts), shape=(len(near), self.items))
        return torch.from_numpy((weights @ query.T).toarray().T.copy())

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) how near the first is to the second."""
        return (self.similarity[right] * (self.near[right] == left[:, None])).sum(1)

    def check_buffers(self) -> None:
        """Raises ValueError for a neighbour that is no item."""
        if self.near.numel() and not bool(((self.near >= 0) & (self.near < self.items)).all()):
            raise ValueError("near")
