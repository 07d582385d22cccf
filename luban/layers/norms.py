"""Normalisation of vectors: by their root mean square, or to mean 0 and variance 1.

D width. RMSNorm: Zhang and Sennrich 2019, eq. 4; LayerNorm: Ba et al. 2016, eq. 4.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Norm = Literal["rms", "layer"]


def norm(kind: Norm, width: int, eps: float) -> nn.Module:
    """(..., D) -> (..., D), with a gain for each place; `layer` has a bias too."""
    return RmsNorm(width, eps) if kind == "rms" else nn.LayerNorm(width, eps=eps)


class RmsNorm(nn.Module):
    """x / √(mean x² + ε) · gain, in the type of x."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if torch.is_grad_enabled():
            return Scaled.apply(x, self.weight, self.eps)  # type: ignore[no-any-return]
        return x * inverse(x, self.eps).to(x.dtype) * self.weight.to(x.dtype)


class Scaled(torch.autograd.Function):
    """The same with its gradient in closed form: torch builds both from a dozen passes over x, which cost a CPU more than the products do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        """x · r · gain, with r = 1 / √(mean x² + ε)."""
        r = inverse(x, eps).to(x.dtype)
        ctx.save_for_backward(x, gain, r)
        return (x * r).mul_(gain.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        """dx = r·(g·gain) - x·r³·mean(g·gain·x), dgain = Σ g·x·r."""
        x, gain, r = ctx.saved_tensors
        scaled = x * r  # (..., D)
        product = grad * scaled
        wide = gain.to(x.dtype)
        along = (product @ wide)[..., None] / x.shape[-1]  # (..., 1)
        dx = (grad * wide).addcmul_(scaled, along, value=-1).mul_(r)
        return dx, product.flatten(0, -2).sum(0).to(gain.dtype), None


def inverse(x: Tensor, eps: float) -> Tensor:
    """(..., 1) 1 / √(mean x² + ε), in float32 at least."""
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    return (torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_() / x.shape[-1] + eps).rsqrt_()
