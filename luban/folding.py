"""A net for answers alone: nothing is learnt any more, so a batch norm is a part of the convolution before it, and pictures lie as convolutions read them.

Jacob et al. 2018, section 3.2: w' = w · γ/σ, b' = β - μ · γ/σ. On a CPU channels last spares each convolution and pooling a rearrangement.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(net: Any) -> Any:
    """A copy with the same answers up to rounding; the net itself where it has no convolution over pictures, or is not in float32 on a CPU."""
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()) or not all(map(is_usual, net.parameters())):
        return net
    made = copy.deepcopy(net).eval()
    for module in list(made.modules()):
        if isinstance(module, nn.Sequential):
            fold(module)
    return made.to(memory_format=torch.channels_last)


def is_usual(parameter: torch.Tensor) -> bool:
    """Whether it is a float32 on a CPU."""
    return parameter.device.type == "cpu" and parameter.dtype == torch.float32


def fold(row: nn.Sequential) -> None:
    """Each batch norm that stands right after a convolution becomes a part of it, in place."""
    for place in range(len(row) - 1):
        layer, after = row[place], row[place + 1]
        if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d) and after.track_running_stats:
            row[place], row[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()
