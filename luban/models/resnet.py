"""resnet: residual blocks, the picture halved from stage to stage.

B batch, C channels, H height, W width. He et al. 2016, eq. 1: y = F(x) + x; stages opened by a pooled convolution as in
Coleman et al. 2017 (DAWNBench).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le, MaxLen
from torch import Tensor, nn

from luban.layers.dense import ACTIVATIONS, Activation, Share, Width, Widths
from luban.layers.dropout import Dropout

ROLE, TAKES = "encoder", ("image",)
SIZES = {
    "tiny": {"stem": 16, "channels": [16, 32, 64], "blocks": [1, 0, 1]},
    "small": {"stem": 16, "channels": [32, 64, 128], "blocks": [1, 0, 1]},
    "base": {"stem": 32, "channels": [64, 128, 256], "blocks": [1, 0, 1]},
}


class ResNet(nn.Module):
    """A stem, then stages: a convolution with pooling, then residual blocks."""

    learning_rate = 3e-3
    weight_decay = 0.05

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths and depth."""

        stem: Width = 16
        """Maps of the first convolution."""
        channels: Widths = (32, 64, 128)
        """Maps of each stage."""
        blocks: Annotated[tuple[Annotated[int, Ge(0), Le(64)], ...], MaxLen(64)] = (1, 0, 1)
        """Residual blocks of each stage, two convolutions each."""
        activation: Activation = "relu"
        """After each convolution."""
        final: Literal["max", "mean"] = "max"
        """The vector: the largest or the mean value of each map."""
        dropout: Share = 0.0
        """Share of the vector's values dropped."""

    def __init__(self, config: ResNet.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        ((self.column, spec),) = specs.items()
        layers: list[nn.Module] = [unit(spec["channels"], config.stem, config.activation)]
        width, side = config.stem, min(spec["size"])
        for channels, count in zip(config.channels, config.blocks, strict=False):
            layers.append(unit(width, channels, config.activation, pool=side >= 2))
            side = max(1, side // 2)
            layers += [Residual(channels, config.activation) for _ in range(count)]
            width = channels
        self.layers, self.final, self.dropout = nn.Sequential(*layers), config.final, Dropout(config.dropout)
        self.out_dim = width

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, out_dim)."""
        x = inputs[self.column]  # (B, C, H, W)
        if torch.is_autocast_enabled(x.device.type):
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.layers(x)
        return self.dropout(x.amax(dim=(2, 3)) if self.final == "max" else x.mean(dim=(2, 3)))


class Residual(nn.Module):
    """x + F(x), two 3 × 3 convolutions: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.first, self.second = unit(channels, channels, activation), unit(channels, channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        """eq. 1, the activation inside the branch."""
        return x + self.second(self.first(x))


def unit(width: int, channels: int, activation: Activation, *, pool: bool = False) -> nn.Sequential:
    """3 × 3 convolution, batch normalisation, activation; He's first weights. Pooled before the norm, which is then 4 times cheaper."""
    layer = nn.Conv2d(width, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    rest = [nn.BatchNorm2d(channels), ACTIVATIONS[activation]()]
    return nn.Sequential(layer, *([nn.MaxPool2d(2)] if pool else []), *rest)
