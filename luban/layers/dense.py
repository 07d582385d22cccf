"""Fully connected layers, their activations and their first weights.

B batch, D width in, H width out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from torch import nn

from luban.layers.dropout import Dropout

Activation = Literal["relu", "gelu", "tanh", "sigmoid", "silu", "none"]
Width = Annotated[int, Gt(0), Le(65_536)]
Widths = Annotated[tuple[Width, ...], MaxLen(64)]
Count = Annotated[int, Gt(0), Le(64)]  # of layers, heads, pixels of a kernel
Buckets = Annotated[int, Gt(0), Le(2**24)]
Share = Annotated[float, Ge(0), Lt(1)]  # of values dropped
Initialisation = Literal["default", "he", "xavier", "normal"]
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "none": nn.Identity}


def dense(widths: Sequence[int], *, activation: Activation = "relu", dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """Linear layers from widths[0] to widths[-1], an activation after each: (B, D) -> (B, H)."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers.append(nn.Linear(width, following))
        if norm:
            layers.append(nn.LayerNorm(following))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers)


@torch.no_grad()
def initialise(net: nn.Module, how: Initialisation) -> None:
    """Give every matrix and kernel its first weights; biases begin at 0. `default` keeps torch's own.

    he: He et al. 2015, eq. 10; xavier: Glorot and Bengio 2010, eq. 16; normal: N(0, 1), as older listings have it.
    """
    if how == "default":
        return
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            if how == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif how == "xavier":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
