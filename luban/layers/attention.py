"""Attention: each token takes from the others what its query finds alike in their keys.

B batch, T tokens that ask, S tokens asked, D width, H heads, K heads of keys and values (K divides H), E width of a head.
Vaswani et al. 2017, eq. 1: softmax(QKᵀ/√E)V; grouped queries: Ainslie et al. 2023; norms of queries and keys: Dehghani et al. 2023, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers.blocked import blocked, pays
from luban.layers.cache import Reading
from luban.layers.dropout import dropout as dropped
from luban.layers.norms import Norm, norm
from luban.layers.rotary import Turn, rotate
from luban.messages import tr

MANY_KEYS = 256  # from which products of bfloat16 are worth it
FEW = 32  # tokens that ask at once, up to which the heads of a group are rows of one product
Asked = tuple[Tensor, Tensor]  # keys and values, each (B, K, S, E)


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
    scaled: bool = True
    """Divide the scores by √E; T5 leaves that to the first weights (Raffel et al. 2020, section 2.1)."""

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
        over: Asked | None = None,
        own: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        mask: broadcast to (B, H, T, S), bool, True = may be seen, or added to the scores. causal: a token sees those before it and
        itself; not with a mask. turn: rotary positions. reading: a cache with this layer's number; a mask then says all of who sees whom.
        over: the keys and values of another sequence, as `asked` makes them. own: (B, T, K, E) added to the values.
        """
        q = self.split(self.query(x))
        q = q if self.query_norm is None else self.query_norm(q)
        q = (q if turn is None else rotate(q, turn)).transpose(1, 2)  # (B, H, T, E)
        k, v = self.asked(x, turn, own) if over is None else over
        if reading is not None:
            k, v = reading[0].extend(reading[1], k, v)
            q = reading[0].apart(q)
            if mask is None:
                mask, causal = reading[0].mask, reading[0].fresh
        if self.maps is not None:
            self.maps.append(weights(q, k, mask=mask, causal=causal, scaled=self.shape.scaled))
        dropout = self.shape.dropout if self.training else 0.0
        mixed = attend(q, k, v, mask=mask, causal=causal, dropout=dropout, scaled=self.shape.scaled)
        mixed = mixed.transpose(1, 2)  # (B, T, H, E)
        return self.out((mixed if reading is None else reading[0].together(mixed)).flatten(2))  # (B, T, H·E) -> (B, T, D)

    def asked(self, x: Tensor, turn: Turn | None = None, own: Tensor | None = None) -> Asked:
        """(B, S, D) -> keys and values of its tokens, each (B, K, S, E)."""
        k, v = self.split(self.key(x)), self.split(self.value(x))
        v = v if own is None else v + own.to(v.dtype)
        k = k if self.key_norm is None else self.key_norm(k)
        k = k if turn is None else rotate(k, turn)
        return k.transpose(1, 2), v.transpose(1, 2)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H·E) -> (B, T, H, E)."""
        return x.unflatten(-1, (-1, self.shape.size))


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False, dropout: float = 0.0, scaled: bool = True
) -> Tensor:
    """(B, H, T, E), (B, K, S, E) twice -> (B, H, T, E), eq. 1 in each head; keys are shared by the heads of a group.

    mask: broadcast to (B, 1 or H, T, S), bool, True = may be seen, or added to the scores; every token must see one at least.
    """
    if slow_in_half(q, k):
        with torch.autocast("cpu", enabled=False):
            mask = mask if mask is None or mask.dtype == torch.bool else mask.float()
            return attend(q.float(), k.float(), v.float(), mask=mask, causal=causal, dropout=dropout, scaled=scaled)
    groups, steps = q.shape[1] // k.shape[1], q.shape[2]
    causal = causal if steps > 1 else False  # never a symbol, over which a compiler would break the graph
    scale = None if scaled else 1.0
    if groups > 1 and (steps == 1 or few(steps, mask)) and (mask is None or mask.shape[1] == 1):
        # the heads of a group are the rows of one product, and no key is copied
        grouped = q.reshape(q.shape[0], k.shape[1], groups * steps, -1)  # (B, K, H/K·T, E)
        mask = mask if mask is None or steps == 1 else mask.repeat(1, 1, groups, 1)
        mixed = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        return mixed.reshape(q.shape)
    k, v = shared(k, groups), shared(v, groups)
    if dropout and q.device.type == "cpu":
        # what torch does too where weights are dropped, in two thirds to four fifths of the time
        return dropped(weights(q, k, mask=mask, causal=causal, scaled=scaled), dropout).to(v.dtype) @ v
    if causal and not dropout and mask is None and pays(q, k, v):
        return blocked(q, k, v, scaled=scaled)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, dropout_p=dropout, scale=scale)


def few(steps: int, mask: Tensor | None) -> bool:
    """Whether a few tokens go on from many, each with a row of the mask: the next of an answer, and what is guessed after it."""
    return not torch.is_grad_enabled() and mask is not None and steps <= FEW and mask.shape[2] == steps


def slow_in_half(q: Tensor, k: Tensor) -> bool:
    """Whether bfloat16 would be slower than float32: its backward pass on a CPU is, three to nine times, where few keys are asked.

    Compiled, all are few: a program for each answer would be compiled anew.
    """
    learning = torch.is_autocast_enabled("cpu") and q.device.type == "cpu" and torch.is_grad_enabled()
    return learning and (torch.compiler.is_compiling() or k.shape[2] < MANY_KEYS)


def shared(x: Tensor, groups: int) -> Tensor:
    """(B, K, S, E) -> (B, K·groups, S, E): each head of keys for all heads of its group."""
    return x if groups == 1 else x[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)


def weights(q: Tensor, k: Tensor, *, mask: Tensor | None = None, causal: bool = False, scaled: bool = True) -> Tensor:
    """(B, H, T, S) the softmax of eq. 1, each row of sum 1: the attention map."""
    score = (q * q.shape[-1] ** -0.5 if scaled else q) @ shared(k, q.shape[1] // k.shape[1]).transpose(-1, -2)
    if causal:
        mask = torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).tril(score.shape[-1] - score.shape[-2])
    if mask is not None:
        score = score.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else score + mask
    return score.softmax(-1)


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
