"""The feed-forward layer of a transformer block, plain or gated.

D width, F hidden width. Vaswani et al. 2017, eq. 2; gated: Shazeer 2020, eq. 6; squared ReLU: So et al. 2021, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Nonlinearity = Literal["gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu", "geglu"]


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016), as GPT-2 has it."""
    return F.gelu(x, approximate="tanh")


def relu2(x: Tensor) -> Tensor:
    """max(x, 0)²."""
    return SquaredRelu.apply(x) if torch.is_grad_enabled() else F.relu(x).square_()  # type: ignore[no-any-return]


class SquaredRelu(torch.autograd.Function):
    """max(x, 0)² with its gradient 2·max(x, 0), in two passes instead of five."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """r² with r = max(x, 0)."""
        r = F.relu(x)
        ctx.save_for_backward(r)
        return r * r

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        """2·r·g."""
        (r,) = ctx.saved_tensors
        return (grad * r).mul_(2)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu, "gelu_tanh": gelu_tanh, "relu": F.relu, "relu2": relu2, "silu": F.silu, "swiglu": F.silu, "geglu": gelu_tanh,
}  # fmt: skip
GATED = ("swiglu", "geglu")


class FeedForward(nn.Module):
    """down(f(up(x))), or down(f(gate(x)) · up(x))."""

    def __init__(self, width: int, hidden: int, *, activation: Nonlinearity, bias: bool = True) -> None:
        super().__init__()
        self.function = FUNCTIONS[activation]
        self.gate = nn.Linear(width, hidden, bias=bias) if activation in GATED else None
        self.up, self.down = nn.Linear(width, hidden, bias=bias), nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if self.gate is None:
            return self.down(self.function(self.up(x)))
        return self.down(self.function(self.gate(x)) * self.up(x))


def hidden_of(width: int, activation: Nonlinearity) -> int:
    """4 widths, or 8/3 of gated layers, which have three matrices, rounded up to a multiple of 32."""
    return -(-(8 * width // 3) // 32) * 32 if activation in GATED else 4 * width


@torch.no_grad()
def begin_at_zero(*layers: nn.Linear) -> None:
    """Projections back to the stream begin at 0: a block begins as the identity (Zhang et al. 2019, section 3)."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
