"""bpr: factors of users and items, learnt so that what a user took stands above what they never met.

Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". A user that training never saw gets factors by least squares from
their history. B users, E items of their histories, U users, I items, F factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.folding import fold_in
from luban.layers.least_squares import Spans

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"factors": 16}, "small": {"factors": 128}, "base": {"factors": 256}}


class Bpr(nn.Module):
    """A vector a user, a vector and a bias an item."""

    objective = "pairwise"
    rowwise = ("user", "item")
    learning_rate = 3e-2
    weight_decay = 0.7
    epochs = 120

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The factors."""

        factors: Annotated[int, Gt(0), Le(4096)] = 128
        """Width of the vectors."""
        scale: Annotated[float, Gt(0), Le(10)] = 0.1
        """Standard deviation of the first values."""

    def __init__(self, config: Bpr.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.user = nn.Parameter(torch.randn(sizes.users, config.factors) * config.scale)
        self.item = nn.Parameter(torch.randn(sizes.items, config.factors) * config.scale)
        self.bias = nn.Parameter(torch.zeros(sizes.items))

    def rate(self, batch: Histories, items: Tensor) -> Tensor:
        """(E,) scores of one item for each item of the histories."""
        user = F.embedding(batch.owner, F.embedding(batch.user.clamp(min=0), self.user, sparse=True))
        return (user * F.embedding(items, self.item, sparse=True)).sum(1) + F.embedding(items, self.bias[:, None])[:, 0]

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, F) the users' vectors."""
        known = batch.user >= 0
        vectors = self.user[batch.user.clamp(min=0)]
        if bool(known.all()):
            return vectors
        starts = np.r_[0, batch.lengths.cumsum(0).cpu().numpy()]
        spans = Spans(starts, batch.history.cpu().numpy(), batch.amount.cpu().numpy())
        folded = fold_in(spans, self.item, unobserved=0.1, penalty=0.01, exponent=1.0)
        return torch.where(known[:, None], vectors, folded.to(vectors))

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query @ self.item[start:stop].T + self.bias[start:stop]

    def vectors_of(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F + 1) users and (I, F + 1) items, whose products are the scores."""
        return torch.cat([query, torch.ones_like(query[:, :1])], 1), torch.cat([self.item, self.bias[:, None]], 1)

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) cosine of the vectors."""
        return F.cosine_similarity(self.item[left], self.item[right])
