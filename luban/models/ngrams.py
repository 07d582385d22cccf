"""ngrams: hashed n-gram vectors added up, over the root of their number; fast, and strong on little data.

B batch, T tokens, G n-grams, D width. Joulin et al. 2017, "Bag of tricks for efficient text classification", fig. 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, MaxLen
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.dense import Buckets, Share, Width
from luban.layers.dropout import Dropout
from luban.layers.hashing import hashed_ngrams

ROLE, TAKES, MANY = "encoder", ("text",), ("text",)
SIZES = {
    "tiny": {"buckets": 32_768, "width": 16},
    "small": {"buckets": 131_072, "width": 32},
    "base": {"buckets": 524_288, "width": 64},
}


class Table(nn.EmbeddingBag):
    """Sums of rows; a step reads few of them, and only these learn."""

    rowwise = ("weight",)

    def forward(self, grams: Tensor) -> Tensor:  # type: ignore[override]
        """(B, G), 0 = none -> (B, D)."""
        sparse = not torch.compiler.is_compiling()
        return F.embedding_bag(grams, self.weight, mode="sum", padding_idx=0, sparse=sparse)


class Ngrams(nn.Module):
    """A vector for each hashed n-gram of tokens, summed over the texts."""

    learning_rate = 3e-3
    weight_decay = 0.0
    epochs = 5

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which n-grams, how many, how wide."""

        ngrams: Annotated[tuple[Annotated[int, Ge(1), Le(16)], ...], MaxLen(16)] = (1, 2, 3)
        """Lengths of the n-grams of tokens."""
        buckets: Buckets = 2**17
        """Rows of the table that n-grams are hashed into."""
        width: Width = 32
        """Width of an n-gram's vector."""
        gram_dropout: Share = 0.5
        """Share of a text's n-grams left out in training."""
        dropout: Share = 0.3
        """Share of the vector's values dropped."""

    def __init__(self, config: Ngrams.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.columns = list(specs)
        self.config, self.out_dim = config, config.width
        self.table = Table(config.buckets + 1, config.width)
        nn.init.normal_(self.table.weight, std=0.02)
        with torch.no_grad():
            self.table.weight[0] = 0
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D)."""
        grams = torch.cat([hashed_ngrams(inputs[column], self.config.ngrams, self.config.buckets) for column in self.columns], 1)  # (B, G)
        if self.training and self.config.gram_dropout:
            grams = grams * (torch.rand(grams.shape, device=grams.device) >= self.config.gram_dropout)
        count = (grams > 0).sum(1, keepdim=True).clamp(min=1)
        return self.dropout(self.norm(self.table(grams) / count.sqrt()))
