"""Normalisation of vectors: by their root mean square, or to mean 0 and variance 1.

D width. RMSNorm: Zhang and Sennrich 2019, eq. 4; LayerNorm: Ba et al. 2016, eq. 4.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["rms", "layer"]


def norm(kind: Norm, width: int, eps: float) -> nn.Module:
    """(..., D) -> (..., D), with a gain for each place; `layer` has a bias too."""
    return nn.RMSNorm(width, eps=eps) if kind == "rms" else nn.LayerNorm(width, eps=eps)
