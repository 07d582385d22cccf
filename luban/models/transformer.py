"""transformer: an encoder of self-attention over tokens or steps, normalised before each sublayer.

B batch, T tokens, D width, H heads. Vaswani et al. 2017, eq. 1: softmax(QKᵀ/√d)V; pre-norm: Xiong et al. 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luban.errors import RecipeError
from luban.layers.attention import attend, weights
from luban.layers.dense import Count, Share, Width
from luban.layers.dropout import Dropout
from luban.layers.texts import Texts
from luban.messages import tr

ROLE, TAKES, MANY = "encoder", ("text", "series"), ("text",)
SIZES = {
    "tiny": {"width": 64, "layers": 1, "heads": 2},
    "small": {"width": 128, "layers": 2, "heads": 4},
    "base": {"width": 256, "layers": 4, "heads": 8},
}


class Transformer(nn.Module):
    """Tokens, positions, layers, a mean over the tokens that are there."""

    learning_rate = 1e-3
    epochs = 8

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Width and depth."""

        width: Width = 128
        """Width of a token's vector."""
        layers: Count = 2
        """Layers of attention and feed-forward."""
        heads: Count = 4
        """Attention heads; they divide the width."""
        expansion: Count = 4
        """Width of the feed-forward layer over the width."""
        dropout: Share = 0.2
        """Share of values dropped after each sublayer and of the tokens' vectors."""

    def __init__(self, config: Transformer.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        from luban.kinds.text import Text

        self.column, spec = next(iter(specs.items()))
        if config.width % config.heads:
            fix = tr("choose a width that the heads divide")
            raise RecipeError("L118", tr("the heads do not divide the width"), where="model.heads", received=config.heads, fix=fix)
        self.texts = Texts(list(specs), Text.num_tokens(spec), config.width, std=0.02) if spec["kind"] == "text" else None
        self.embed = nn.Linear(spec["numbers"], config.width) if self.texts is None else None
        self.out_dim = config.width
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D)."""
        if self.texts is not None:
            tokens, columns = self.texts.tokens(inputs)
            known, x = tokens > 0, self.texts(tokens, columns)  # (B, T), (B, T, D)
        else:
            known, x = ~inputs[self.column][..., 0].isnan(), self.embed(inputs[self.column].nan_to_num(0.0))  # type: ignore[misc]
        known = known | (torch.arange(x.shape[1], device=x.device) == 0)  # an empty text attends to its first padding
        x = self.dropout(x + positions(x.shape[1], x.shape[2], x.device))
        for block in self.blocks:
            x = block(x, known)
        x = self.norm(x) * known[..., None]
        return self.dropout(x.sum(1) / known.sum(1, keepdim=True))


class Block(nn.Module):
    """x + Attention(LayerNorm(x)), then x + FeedForward(LayerNorm(x))."""

    maps: list[Tensor] | None = None  # within `layers.attention.recorded`, what each call attended to

    def __init__(self, config: Transformer.Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.qkv, self.out = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        hidden = config.expansion * config.width
        self.feed = nn.Sequential(nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width))
        self.dropout = Dropout(config.dropout)
        for layer in (self.out, self.feed[2]):
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * config.layers))  # type: ignore[arg-type]

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(B, T, D), (B, T) which tokens are there -> (B, T, D)."""
        x = x + self.dropout(self.attend(self.attention_norm(x), known))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def attend(self, x: Tensor, known: Tensor) -> Tensor:
        """eq. 1 in each head."""
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        mask = known[:, None, None, :]
        if self.maps is not None:
            self.maps.append(weights(q, k, mask=mask))
        mixed = attend(q, k, v, mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, width))


def positions(steps: int, width: int, device: torch.device) -> Tensor:
    """(T, D) sines and cosines of falling frequencies (section 3.5), scaled to the first embeddings."""
    place = torch.arange(steps, device=device)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000) / width))
    angle = place * frequency  # (T, D/2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width] * 0.02
