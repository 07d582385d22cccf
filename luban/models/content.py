"""content: items described like those of the history; nothing is learnt of who took what with what, so new items are named too.

y_ui = Σ_f x_if w_uf, w_u the mean description of the history: the articles' formula. A description is a sparse vector of words, names and thirds of
numbers, weighed by how rarely items have them (Salton and Buckley 1988), of length 1. B users, I items, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from luban.layers.described import described, of_length_one

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ("text", "category", "tags", "number", "date", "image")


class Content(nn.Module):
    """Descriptions of the items, and how much each feature weighs."""

    objective = ""
    reads_content = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How features are weighed."""

        rarity: Annotated[float, Ge(0), Le(4)] = 1.0
        """Exponent of the rarity log(I / items that have the feature): 0 = all features alike."""

    weight: Tensor  # (F,)

    def __init__(self, config: Content.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.items = config, described(sizes.content, sizes.items)
        self.register_buffer("weight", torch.zeros(self.items.shape[1]))

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Rarity of each feature among all items."""
        count = np.maximum(1, np.diff(self.items.tocsc().indptr))
        self.weight.copy_(torch.from_numpy(np.log(1 + self.items.shape[0] / count) ** self.config.rarity))
        yield 1.0

    def weighed(self) -> Any:
        """(I, F) sparse, each row of length 1."""
        return of_length_one(self.items, self.weight.cpu().numpy())

    def query(self, batch: Histories, memory: Any) -> tuple[Any, Any]:
        """(B, F) profiles and (I, F) items, both sparse."""
        from scipy.sparse import csr_array

        starts, items = np.r_[0, batch.lengths.cumsum(0).cpu().numpy()], self.weighed()
        share = batch.amount.cpu().numpy() / np.repeat(np.maximum(1, batch.lengths.cpu().numpy()), batch.lengths.cpu().numpy())
        taken = csr_array((share, batch.history.cpu().numpy(), starts), shape=(len(batch.lengths), items.shape[0]))
        return csr_array(taken @ items), items

    def score(self, query: tuple[Any, Any], start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        profile, items = query
        return torch.from_numpy((items[start:stop] @ profile.T).toarray().T.astype(np.float32))

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) cosine of the descriptions."""
        items = self.weighed()
        found, inverse = np.unique(np.concatenate([left.cpu().numpy(), right.cpu().numpy()]), return_inverse=True)
        likeness = (items[found] @ items[found].T).toarray()
        return torch.from_numpy(likeness[inverse[: len(left)], inverse[len(left) :]].astype(np.float32))
