"""convnet: stages of convolutions, each ended by a pooling, then a flat or pooled vector.

B batch, C channels, H height, W width. LeCun et al. 1998; batch normalisation: Ioffe and Szegedy 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from luban.errors import RecipeError
from luban.layers.dense import ACTIVATIONS, Activation, Count, Share, Widths
from luban.layers.dropout import Dropout
from luban.messages import tr

ROLE, TAKES = "encoder", ("image",)
SIZES = {
    "tiny": {"channels": [16, 32, 64]},
    "small": {"channels": [32, 64, 128]},
    "base": {"channels": [64, 128, 256]},
}


class ConvNet(nn.Module):
    """Convolutions over one image column."""

    learning_rate = 3e-3
    weight_decay = 0.05

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, and how the picture becomes a vector."""

        channels: Widths = (32, 64, 128)
        """Maps of each stage."""
        convolutions: Count = 2
        """Convolutions a stage."""
        kernel: Count = 3
        """Side of a kernel in pixels."""
        norm: bool = True
        """Batch normalisation after each convolution, instead of a bias."""
        activation: Activation = "relu"
        """After each convolution."""
        pools: Annotated[int, Ge(0)] | None = None
        """Stages, from the first, that end in a 2 × 2 max pooling; left out: all where flat, all but the last where not."""
        final: Literal["max", "mean", "flatten"] = "max"
        """The vector: the largest or the mean value of each map, or all values."""
        flat_dim: Annotated[int, Gt(0)] | None = None
        """Width the flattened maps must have, as a listing fixes it; another is an error that names the image sizes that fit."""
        dropout: Share = 0.0
        """Share of the vector's values dropped."""

    def __init__(self, config: ConvNet.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        ((self.column, spec),) = specs.items()
        flat = config.final == "flatten"
        pools = config.pools if config.pools is not None else len(config.channels) - (0 if flat else 1)
        layers: list[nn.Module] = []
        width, (height, wide) = spec["channels"], spec["size"]
        for stage, channels in enumerate(config.channels):
            for _ in range(config.convolutions):
                layers += convolution(width, channels, config)
                width = channels
            if stage < pools and min(height, wide) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, wide = height // 2, wide // 2
        self.layers, self.final, self.dropout = nn.Sequential(*layers), config.final, Dropout(config.dropout)
        self.out_dim = width * height * wide if flat else width
        if config.flat_dim is not None and (not flat or config.flat_dim != self.out_dim):
            raise misfit(config.flat_dim, self.out_dim, width, pools)

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, out_dim)."""
        x = inputs[self.column]  # (B, C, H, W)
        if torch.is_autocast_enabled(x.device.type):
            x = x.contiguous(memory_format=torch.channels_last)
        return self.dropout(pooled(self.layers(x), self.final))


def convolution(width: int, channels: int, config: ConvNet.Config) -> list[nn.Module]:
    """Convolution, normalisation, activation; He's first weights."""
    layer = nn.Conv2d(width, channels, config.kernel, padding=config.kernel // 2, bias=not config.norm)
    if config.norm:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return [layer, nn.BatchNorm2d(channels), ACTIVATIONS[config.activation]()]
    return [layer, ACTIVATIONS[config.activation]()]


def pooled(x: Tensor, how: str) -> Tensor:
    """(B, C, H, W) -> (B, C), or (B, C·H·W) flat."""
    if how == "flatten":
        return x.flatten(1)
    return x.amax(dim=(2, 3)) if how == "max" else x.mean(dim=(2, 3))


def misfit(wanted: int, got: int, width: int, pools: int) -> RecipeError:
    """The flat width does not fit the image: name the square sizes that do."""
    factor = 2**pools
    side = round((wanted / width) ** 0.5)
    fits = [f"{side * factor} … {side * factor + factor - 1}"] if side * side * width == wanted else [tr("none that is square")]
    return RecipeError(
        "L115",
        tr("the image gives {got} flat values, flat_dim asks for {wanted}", got=got, wanted=wanted),
        where="model.flat_dim",
        received=wanted,
        allowed=[tr("image sizes {sizes}", sizes=", ".join(fits))],
        fix=tr("set the size of the image column"),
    )
