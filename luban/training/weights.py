"""Copies of weights: the best so far, a moving average; and what must not move."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def clone(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy of weights."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def blend(average: dict[str, Tensor], net: nn.Module, decay: float) -> None:
    """Exponential moving average of weights; counts are copied (Polyak and Juditsky 1992)."""
    pairs = [(average[name], tensor) for name, tensor in net.state_dict().items()]
    real = [(a, t) for a, t in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in real], [t for _, t in real], 1 - decay)
    for kept, tensor in pairs:
        if not kept.is_floating_point():
            kept.copy_(tensor)


def keep_frozen(net: nn.Module) -> None:
    """A module whose parameters are all frozen stays in evaluation: its statistics must not move."""
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
