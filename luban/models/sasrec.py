"""sasrec: self-attention over the order of a history; each item foretells the one that follows, among all items.

Kang and McAuley 2018, "Self-attentive sequential recommendation"; the softmax over all items instead of one negative: Klenitskiy and Vasilev 2023,
"Turning dross into gold loss", or over some drawn where there are very many. B users, T places, D width, H heads, I items, M places that are followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers.attention import attend
from luban.layers.dense import Count, Share, Width
from luban.layers.dropout import Dropout
from luban.messages import tr

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
MOST_FULL = 50_000  # items, up to which the softmax is over all
SIZES = {
    "tiny": {"width": 16, "layers": 1, "heads": 1, "length": 50},
    "small": {"width": 64, "layers": 2, "heads": 2, "length": 200},
    "base": {"width": 256, "layers": 3, "heads": 4, "length": 200},
}


class Sasrec(nn.Module):
    """Items, places counted from the end, layers, the same items again."""

    objective = "next"
    learning_rate = 2e-3
    weight_decay = 0.05
    epochs = 100

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Width, depth, and how far back it looks."""

        width: Width = 64
        """Width of an item's vector."""
        layers: Count = 2
        """Layers of attention and feed-forward."""
        heads: Count = 2
        """Attention heads; they divide the width."""
        length: Annotated[int, Gt(1), Le(4096)] = 200
        """Latest items of a history that are read."""
        dropout: Share = 0.3
        """Share of values dropped after each sublayer and of the items' vectors."""
        loss: Literal["auto", "full", "sampled"] = "auto"
        """Among which items the next one is told: `full` all of them, `sampled` some drawn for each user; `auto`: all up to 50,000, where a step of
        4,096 places holds 0.8 GB of scores."""
        sampled: Annotated[int, Gt(0), Le(65_536)] = 512
        """Items drawn for each user where not all are looked at."""

    def __init__(self, config: Sasrec.Config, sizes: Sizes) -> None:
        super().__init__()
        if config.width % config.heads:
            fix = tr("choose a width that the heads divide")
            raise RecipeError("L118", tr("the heads do not divide the width"), where="model.heads", received=config.heads, fix=fix)
        self.config = config
        self.item = nn.Parameter(torch.randn(sizes.items, config.width) / math.sqrt(config.width))
        self.place = nn.Parameter(torch.randn(config.length, config.width) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)

    def states(self, batch: Histories) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, D) after each item of the history, (B, T) the items, and which places are filled, the latest on the right."""
        width = min(self.config.length, max(1, int(batch.lengths.max())))
        items, filled = batch.pad(width)
        x = self.dropout(F.embedding(items, self.item) + self.place[:width].flip(0)) * filled[..., None]  # (B, T, D)
        place = torch.arange(width, device=items.device)
        seen = (place[:, None] >= place) & filled[:, None, :] | torch.eye(width, dtype=torch.bool, device=items.device)  # (B, T, T)
        for block in self.blocks:
            x = block(x, seen[:, None])
        return self.norm(x), items, filled

    @staticmethod
    def drawn(config: Sasrec.Config, num_items: int) -> int:
        """Items drawn for each user in training; 0 = all are looked at."""
        return config.sampled if config.loss == "sampled" or (config.loss == "auto" and num_items > MOST_FULL) else 0

    def following(self, batch: Histories) -> tuple[Tensor, Tensor]:
        """(M, D) states that an item follows, and (M,) the place of that item in the histories."""
        states, _, filled = self.states(batch)
        followed = filled[:, :-1]
        return states[:, :-1][followed], batch.places(states.shape[1])[0][:, 1:][followed]

    def against(self, states: Tensor, owner: Tensor, items: Tensor) -> Tensor:
        """(M, S) scores of each user's items (B, S) in the states of that user, which stand together."""
        lengths = torch.bincount(owner, minlength=len(items))
        place = torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner]
        rows = states.new_zeros(len(items), max(1, int(lengths.max())), states.shape[1]).index_put((owner, place), states)  # (B, T, D)
        return torch.bmm(rows, self.item[items].mT)[owner, place]

    def logits(self, states: Tensor) -> Tensor:
        """(M, I)"""
        return states @ self.item.T

    def query(self, batch: Histories, memory: Any) -> Tensor:
        """(B, D) the state after the latest item."""
        return self.states(batch)[0][:, -1]

    def score(self, query: Tensor, start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query @ self.item[start:stop].T

    def vectors_of(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) users and (I, D) items, whose products are the scores."""
        return query, self.item

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) cosine of the vectors."""
        return F.cosine_similarity(self.item[left], self.item[right])


class Block(nn.Module):
    """x + Attention(LayerNorm(x)), then x + FeedForward(LayerNorm(x))."""

    def __init__(self, config: Sasrec.Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.qkv, self.out = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        self.feed = nn.Sequential(nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width))
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """(B, T, D), (B, 1, T, T) which places each place sees -> (B, T, D)."""
        x = x + self.dropout(self.attend(self.attention_norm(x), seen))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def attend(self, x: Tensor, seen: Tensor) -> Tensor:
        """softmax(QKᵀ/√d)V in each head."""
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        mixed = attend(q, k, v, mask=seen)
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, width))
