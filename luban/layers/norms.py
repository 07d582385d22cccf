"""Normalisation of vectors: by their root mean square, or to mean 0 and variance 1.

D width. RMSNorm: Zhang and Sennrich 2019, eq. 4; LayerNorm: Ba et al. 2016, eq. 4.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["rms", "layer"]


def norm(kind: Norm, width: int, eps: float) -> nn.Module:
    """(..., D) -> (..., D), with a gain for each place; `layer` has a bias too."""
    return RmsNorm(width, eps) if kind == "rms" else nn.LayerNorm(width, eps=eps)


class RmsNorm(nn.Module):
    """x / √(mean x² + ε) · gain, in the type of x: torch's own warns where the gain is of another."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
