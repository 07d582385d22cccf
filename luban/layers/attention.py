"""Attention: each token takes from the others what its query finds alike in their keys.

B batch, T tokens that ask, S tokens asked, D width, H heads, K heads of keys and values (K divides H), E width of a head.
Vaswani et al. 2017, eq. 1: softmax(QKᵀ/√E)V; grouped queries: Ainslie et al. 2023; norms of queries and keys: Dehghani et al. 2023, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers.cache import Reading
from luban.layers.norms import Norm, norm
from luban.layers.rotary import Turn, rotate
from luban.messages import tr


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What an attention layer is made of."""

    width: int
    """D."""
    heads: int
    """H."""
    kv_heads: int = 0
    """K; 0 = as many as heads."""
    head_dim: int = 0
    """E; 0 = the width over the heads."""
    bias: bool = True
    """Of queries, keys and values."""
    out_bias: bool = True
    """Of the output."""
    qk_norm: Norm | None = None
    """Norm of each head's queries and keys, before they are turned."""
    norm_eps: float = 1e-6
    """Added inside that norm's root."""
    dropout: float = 0.0
    """Share of the attention weights dropped in training."""

    def __post_init__(self) -> None:
        """Raises RecipeError L118 for heads that do not divide."""
        fix = tr("choose a width that the heads divide")
        if not self.head_dim and self.width % self.heads:
            raise RecipeError("L118", tr("the heads do not divide the width"), where="model.heads", received=self.heads, fix=fix)
        if self.heads % self.num_kv_heads:
            what = tr("the heads of keys do not divide the heads")
            raise RecipeError("L118", what, where="model.kv_heads", received=self.kv_heads, fix=fix)

    @property
    def num_kv_heads(self) -> int:
        """K."""
        return self.kv_heads or self.heads

    @property
    def size(self) -> int:
        """E."""
        return self.head_dim or self.width // self.heads


class Attention(nn.Module):
    """Queries, keys, values and output: self-attention, or attention to another sequence."""

    maps: list[Tensor] | None = None  # within `recorded`, what each call attended to

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, keys = shape.heads * shape.size, shape.num_kv_heads * shape.size
        self.query = nn.Linear(shape.width, inner, bias=shape.bias)
        self.key = nn.Linear(shape.width, keys, bias=shape.bias)
        self.value = nn.Linear(shape.width, keys, bias=shape.bias)
        self.out = nn.Linear(inner, shape.width, bias=shape.out_bias)
        self.query_norm = norm(shape.qk_norm, shape.size, shape.norm_eps) if shape.qk_norm else None
        self.key_norm = norm(shape.qk_norm, shape.size, shape.norm_eps) if shape.qk_norm else None

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        turn: Turn | None = None,
        reading: tuple[Reading, int] | None = None,
        over: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        mask: bool, broadcast to (B, H, T, S), True = may be seen. causal: a token sees those before it and itself; not with a mask.
        turn: rotary positions. reading: a cache with this layer's number. over: (B, S, D) the sequence asked, where it is another.
        """
        asked = x if over is None else over
        q, k, v = self.split(self.query(x)), self.split(self.key(asked)), self.split(self.value(asked))
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H or K, T or S, E)
        if reading is not None:
            k, v = reading[0].extend(reading[1], k, v)
            mask, causal = reading[0].mask, reading[0].fresh
        if self.maps is not None:
            self.maps.append(weights(q, k, mask=mask, causal=causal))
        mixed = attend(q, k, v, mask=mask, causal=causal, dropout=self.shape.dropout if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, H, T, E) -> (B, T, H·E) -> (B, T, D)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H·E) -> (B, T, H, E)."""
        return x.unflatten(-1, (-1, self.shape.size))


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False, dropout: float = 0.0) -> Tensor:
    """(B, H, T, E), (B, K, S, E) twice -> (B, H, T, E), eq. 1 in each head; keys are shared by the heads of a group.

    mask: bool, broadcast to (B, 1 or H, T, S), True = may be seen; every token must see one at least.
    """
    groups, steps = q.shape[1] // k.shape[1], q.shape[2]
    causal = causal and steps > 1
    if groups > 1 and steps == 1 and (mask is None or mask.shape[1] == 1):
        # one token asks: the heads of a group are the rows of one product, and no key is copied
        grouped = q.reshape(q.shape[0], k.shape[1], groups, -1)  # (B, K, H/K, E)
        mixed = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, dropout_p=dropout)
        return mixed.reshape(q.shape)
    return F.scaled_dot_product_attention(q, shared(k, groups), shared(v, groups), attn_mask=mask, is_causal=causal, dropout_p=dropout)


def shared(x: Tensor, groups: int) -> Tensor:
    """(B, K, S, E) -> (B, K·groups, S, E): each head of keys for all heads of its group."""
    return x if groups == 1 else x[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)


def weights(q: Tensor, k: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """(B, H, T, S) the softmax of eq. 1, each row of sum 1: the attention map."""
    score = q @ shared(k, q.shape[1] // k.shape[1]).transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        mask = torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).tril(score.shape[-1] - score.shape[-2])
    return (score if mask is None else score.masked_fill(~mask, -torch.inf)).softmax(-1)


@contextmanager
def recorded(net: nn.Module) -> Iterator[list[Tensor]]:
    """Within, every attention layer appends its map (B, H, T, S) to the list, in the order they are called."""
    found: list[Tensor] = []
    layers: list[Any] = [module for module in net.modules() if hasattr(type(module), "maps")]
    for layer in layers:
        layer.maps = found
    try:
        yield found
    finally:
        for layer in layers:
            layer.maps = None
