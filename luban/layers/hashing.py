"""n-grams of tokens, hashed into buckets: no vocabulary of n-grams is kept (Weinberger et al. 2009).

B batch, T tokens, G n-grams.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MULTIPLIERS = (1, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)


def hashed_ngrams(ids: Tensor, lengths: Sequence[int], buckets: int) -> Tensor:
    """(B, T) ids, 0 = padding -> (B, G) buckets 1 … `buckets`, 0 where the n-gram would reach into padding."""
    parts = []
    for n in lengths:
        if n > ids.shape[1]:
            continue
        windows = ids.unfold(1, n, 1)  # (B, T - n + 1, n)
        mixed = torch.zeros_like(windows[..., 0]) + n
        for place in range(n):
            mixed = (mixed + windows[..., place]) * MULTIPLIERS[1 + place % 5] & 0xFFFFFFFF
            mixed = mixed ^ (mixed >> 15)
        whole = windows[..., -1] > 0  # padding is on the right alone
        parts.append(torch.where(whole, mixed % buckets + 1, 0))
    return torch.cat(parts, dim=1) if parts else ids.new_zeros(len(ids), 1)
