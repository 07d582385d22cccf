"""user_knn: what the users with the most similar histories took.

s_uv = Σ_i r_ui r_vi / (√d_u √d_v), y_ui = Σ_{v ∈ N_u} s_uv r_vi: the articles' formula, the sum over neighbours without the unknown rating.
Nothing is learnt: the histories that the net remembers are searched. B users, U users of the training, I items, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.layers.nearest import nearest_to

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"neighbours": 20}, "small": {"neighbours": 100}, "base": {"neighbours": 400}}


class UserKnn(nn.Module):
    """Only its settings; similarities are those of the asked."""

    objective = ""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many speak for a user, and how much a few shared items are trusted."""

        neighbours: Annotated[int, Gt(0), Le(100_000)] = 100
        """Users that speak for a user."""
        shrink: Annotated[float, Ge(0)] = 10.0
        """h in n / (n + h), n the items two users share."""

    solved: Tensor  # () whether it was

    def __init__(self, config: UserKnn.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.items = config, sizes.items
        self.register_buffer("solved", torch.zeros(()))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Nothing to do."""
        self.solved.fill_(1.0)
        yield 1.0

    def query(self, batch: Histories, memory: Any) -> Any:
        """(B, I) scores, sparse by columns; a user is no neighbour of their own."""
        from scipy.sparse import csr_array

        starts = np.r_[0, batch.lengths.cumsum(0).numpy()]
        asked = csr_array((batch.amount.numpy(), batch.history.numpy(), starts), shape=(len(batch.lengths), self.items))
        known = memory.matrix()
        near, similarity = nearest_to(asked, known, self.config.neighbours, self.config.shrink, own=batch.user.numpy())
        weights = csr_array(
            (similarity.reshape(-1), near.reshape(-1), np.arange(len(near) + 1) * near.shape[1]), shape=(len(near), known.shape[0])
        )
        return (weights @ known).tocsc()

    def score(self, query: Any, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return torch.from_numpy(query[:, start:stop].toarray() * float(self.solved))

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) users speak for items here, not items."""
        return torch.zeros(len(left))
