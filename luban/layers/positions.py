"""Where a token stands, as a vector that is added or as what its distance adds to the scores.

B batch, T tokens that ask, S tokens asked, D width, H heads, N buckets.
Vaswani et al. 2017, section 3.5; relative: Shaw et al. 2018, in the form of Raffel et al. 2020, section 2.1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def sinusoids(places: int, width: int, device: torch.device) -> Tensor:
    """(places, D) float32 sines of the place times 10000^(-2i/D), then its cosines; no buffer of a net, so that it is never saved nor cast."""
    pairs = (width + 1) // 2
    frequency = 10_000.0 ** (-2 * torch.arange(pairs, dtype=torch.float64, device=device) / width)
    angle = torch.arange(places, dtype=torch.float64, device=device)[:, None] * frequency  # (places, D/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width].float()


class RelativeBias(nn.Module):
    """What each head adds to the score of a token by how far it is: near ones have a bucket each, far ones share buckets that grow."""

    def __init__(self, heads: int, buckets: int, distance: int, *, both_ways: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(buckets, heads)
        self.distance, self.both_ways = distance, both_ways

    def forward(self, places: Tensor, end: int) -> Tensor:
        """(B or 1, T) places of those that ask, the tokens asked stand at 0 … end - 1 -> (B or 1, H, T, end); -inf for later ones unless both ways."""
        ahead = torch.arange(end, device=places.device) - places[..., None]  # (B, T, S)
        found = self.table(self.bucket(ahead)).permute(0, 3, 1, 2)  # (B, H, T, S)
        return found if self.both_ways else found.masked_fill((ahead > 0)[:, None], -torch.inf)

    def bucket(self, ahead: Tensor) -> Tensor:
        """How many places ahead -> its bucket: half of them one place each, the rest by the logarithm up to the distance."""
        count, first = self.table.num_embeddings, 0
        if self.both_ways:
            count //= 2
            first = (ahead > 0).long() * count
            far = ahead.abs()
        else:
            far = (-ahead).clamp(min=0)
        exact = count // 2
        growth = torch.log(far.clamp(min=1).float() / exact) / math.log(self.distance / exact) * (count - exact)
        return first + torch.where(far < exact, far, (exact + growth.long()).clamp(max=count - 1))
