"""contrastive: pairs of texts brought together, all others of the step pushed apart. The loss compares examples, so it is pooled.

B batch, T tokens, D width. Radford et al. 2021, fig. 3.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.columns import Columns
from luban.draw import Draw
from luban.kinds.text import Text
from luban.task import Loss, Pool, Split


@dataclass(frozen=True)
class Batch:
    """What a step sees."""

    left: Tensor  # (B, T) int64, 0 = padding
    right: Tensor  # (B, T)


class Towers(nn.Module):
    """A bag of tokens for each side."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.EmbeddingBag(tokens, width, padding_idx=0), nn.EmbeddingBag(tokens, width, padding_idx=0)
        self.dropout = nn.Dropout(0.05)

    def forward(self, batch: Batch) -> Tensor:
        """(B, 2, D) unit vectors."""
        return F.normalize(torch.stack([self.dropout(self.left(batch.left)), self.dropout(self.right(batch.right))], 1), dim=-1)


class Contrastive:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Sizes."""

        width: int = 19
        """Of the vectors."""
        temperature: float = 0.1
        """What similarities are divided by."""

    split = Split()
    metrics = ("recall_at_1",)

    def __init__(self, config: Config, state: dict[str, Any] | None = None) -> None:
        self.config, self.state = config, state

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """One vocabulary for both sides."""
        return Text.fit(pl.concat([table["left"], table["right"].alias("left")]), Text.Config(vocabulary=300))

    def encode(self, table: pl.DataFrame) -> Columns:
        """Two texts a row."""
        left, right = (Text.encode(table[side], self.state) for side in ("left", "right"))
        return Columns({"left": left.values, "right": right.values}, np.arange(len(table)), left.size)

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Padded token ids."""
        return Batch(*(Text.collate(examples[side], self.state, draw) for side in ("left", "right")))

    def build(self) -> nn.Module:
        """Two towers."""
        return Towers(Text.num_tokens(self.state), self.config.width)

    def losses(self, net: nn.Module, batch: Batch) -> Generator[Loss | Pool, Tensor, None]:
        """Each side picks its partner out of the whole step."""
        left, right = (yield Pool(net(batch).flatten(1))).chunk(2, dim=1)  # (all, D) each
        logits = left @ right.T / self.config.temperature
        own = torch.arange(len(logits))
        yield Loss((F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2, len(own))

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, 2, D)."""
        return net(batch)

    def answer(self, vectors: Tensor) -> pl.DataFrame:
        """`vector` of the left text."""
        return pl.DataFrame({"vector": vectors[:, 0].tolist()})

    def judge(self, vectors: Tensor, batch: Batch) -> dict[str, Any]:
        """Both vectors: retrieval compares all with all."""
        return {"left": vectors[:, 0].double().numpy(), "right": vectors[:, 1].double().numpy()}

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """The same number spelt in two alphabets, no pair twice."""
        number = np.random.default_rng(seed).permutation(1000)[:count]
        left = ["".join("零一二三四五六七八九"[int(d)] for d in f"{n:03d}") + " 甲" * (n % 5) for n in number]
        right = ["".join("abcdefghij"[int(d)] for d in f"{n:03d}") + " z" * (n % 3) for n in number]
        return pl.DataFrame({"left": left, "right": right})


def recall_at_1(marks: Columns) -> float:
    """Share of left texts whose partner comes first; ties in the middle."""
    similarity = np.asarray(marks["left"]) @ np.asarray(marks["right"]).T
    own = similarity.diagonal()[:, None]
    rank = (similarity > own).sum(1) + ((similarity == own).sum(1) - 1) / 2
    return float((rank < 1).mean())
