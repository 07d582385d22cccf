"""Rotary positions: each pair of a head's values is turned by an angle that grows with the place of the token.

B batch, T tokens, H heads, E width of a head. Su et al. 2021, eq. 34; the two halves of a head are paired, as in GPT-NeoX and Llama.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor

Turn = tuple[Tensor, Tensor]  # cosines and sines, each (B or 1, T, 1, E/2)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """How Llama 3.1 reaches past the context it was trained on: slow turns are slowed further (Dubey et al. 2024)."""

    factor: Annotated[float, Gt(0)] = 8.0
    """The slowest pairs turn so many times slower."""
    slow: Annotated[float, Gt(0)] = 1.0
    """Pairs that turn fewer times than this over the original context are slowed whole."""
    fast: Annotated[float, Gt(0)] = 4.0
    """Pairs that turn more often than this are left as they are."""
    context: Annotated[int, Gt(0)] = 8192
    """Tokens of the original context."""


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def frequencies(head_dim: int, base: float, stretch: Stretch | None, device: torch.device) -> Tensor:
    """(E/2,) float32 angle of each pair per token: base^(-2i/E); no buffer of a net, so that it is never saved nor cast."""
    found = 1.0 / base ** (torch.arange(0, head_dim, 2, dtype=torch.int64, device=device).float() / head_dim)
    if stretch is None:
        return found
    turns = stretch.context * found / (2 * math.pi)
    kept = ((turns - stretch.slow) / (stretch.fast - stretch.slow)).clamp(0, 1)
    return found / stretch.factor * (1 - kept) + found * kept


def turn(places: Tensor, frequency: Tensor, dtype: torch.dtype) -> Turn:
    """(B, T) places of the tokens -> cosines and sines of their angles, computed in float32."""
    angle = places[:, :, None, None].float() * frequency  # (B, T, 1, E/2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, by: Turn) -> Tensor:
    """(B, T, H, E) -> the same, each pair (x_i, x_{i+E/2}) turned."""
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # a compiler fuses the plain lines itself
        return Turned.apply(x, *by)  # type: ignore[no-any-return]
    first, second = x.chunk(2, dim=-1)
    cosine, sine = (part.to(x.dtype) for part in by)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Turned(torch.autograd.Function):
    """The same in half the passes over x; its gradient is turned back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """By the angle."""
        ctx.save_for_backward(cosine, sine)
        return into(x, cosine, sine, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """By the angle the other way."""
        cosine, sine = ctx.saved_tensors
        return into(grad, cosine, sine, -1), None, None


def into(x: Tensor, cosine: Tensor, sine: Tensor, sign: int) -> Tensor:
    """A new tensor with x turned."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    (first, second), (left, right) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    torch.mul(first, cosine, out=left)
    torch.mul(second, cosine, out=right)
    left.addcmul_(second, sine, value=-sign)
    right.addcmul_(first, sine, value=sign)
    return out
