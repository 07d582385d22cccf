"""fused: encoders side by side, their vectors joined, one head.

B batch, D width of an encoder, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luban.layers.dense import Activation, Initialisation, Share, Widths, dense, initialise

ROLE, TAKES = "predictor", ()


class Fused(nn.Module):
    """Encoders are handed in by the task: a model never imports a model."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The head over the joined vectors."""

        head: Widths = ()
        """Widths of hidden layers between the encoders and the output."""
        head_activation: Activation = "relu"
        """After each hidden layer of the head."""
        head_dropout: Share = 0.0
        """Share of values dropped after each hidden layer of the head."""
        init: Initialisation = "default"
        """First weights of all linear and convolution layers; `default`: as each architecture has them."""

    def __init__(self, config: Fused.Config, encoders: list[Any], out_dim: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        widths = [sum(encoder.out_dim for encoder in encoders), *config.head]
        self.hidden = dense(widths, activation=config.head_activation, dropout=config.head_dropout)
        self.output = nn.Linear(widths[-1], out_dim)
        initialise(self, config.init)

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, O)."""
        joined = torch.cat([encoder(inputs) for encoder in self.encoders], dim=1)  # (B, sum of D)
        return self.output(self.hidden(joined))
