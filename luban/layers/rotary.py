"""Rotary positions: each pair of a head's values is turned by an angle that grows with the place of the token.

B batch, T tokens, H heads, E width of a head. Su et al. 2021, eq. 34; the two halves of a head are paired, as in GPT-NeoX and Llama.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

Turn = tuple[Tensor, Tensor]  # cosines and sines, each (B or 1, 1, T, E/2)


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
    angle = places[:, None, :, None].float() * frequency  # (B, 1, T, E/2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, by: Turn) -> Tensor:
    """(B, H, T, E) -> the same, each pair (x_i, x_{i+E/2}) turned."""
    cosine, sine = by
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
