"""Recurrent layers over padded steps: each row is read within its own length, one way or both.

B batch, T steps, D width. Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000, eq. 1-6; both ways: Graves and Schmidhuber 2005.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luban import cores


def backwards(lengths: Tensor, steps: Tensor) -> Tensor:
    """(B,) lengths, (T,) steps -> (B, T) the step read in its place when reading backwards."""
    return (lengths[:, None] - 1 - steps).clamp(min=0)


def both_ways(x: Tensor, layer: Any, turned: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, ways · hidden); the second way reads each row reversed within its own length."""
    states = [through(layer[0], x)]
    if len(layer) == 2:
        states.append(turn(through(layer[1], turn(x, turned)), turned))
    return torch.cat(states, dim=2)


def through(layer: nn.LSTM, x: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, hidden); in float32 where bfloat16 is asked for and the processor has no such layer: oneDNN would raise."""
    if lacks_halves(x):
        with torch.autocast(x.device.type, enabled=False):
            return layer(x.float())[0]
    return layer(x)[0]


def lacks_halves(x: Tensor) -> bool:
    """Whether products are to be of bfloat16 and oneDNN has none for this processor."""
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not cores.multiply_halves()


def turn(x: Tensor, order: Tensor) -> Tensor:
    """(B, T, D) with the steps of each row in the order (B, T)."""
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))


def recurrent(width: int, hidden: int, biases: int) -> nn.LSTM:
    """One layer, one way."""
    layer = nn.LSTM(width, hidden, batch_first=True)
    begin(layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)  # type: ignore[arg-type]
    if biases == 1:
        layer.bias_hh_l0.requires_grad_(False)  # type: ignore[union-attr,operator]
    return layer


def cell(width: int, hidden: int) -> nn.LSTMCell:
    """One step of one layer."""
    made = nn.LSTMCell(width, hidden)
    begin(made.weight_ih, made.weight_hh, made.bias_ih, made.bias_hh)
    return made


@torch.no_grad()
def begin(inward: Tensor, between: Tensor, inward_bias: Tensor, between_bias: Tensor) -> None:
    """First weights: orthogonal between states (Saxe et al. 2014), forget gates open (Jozefowicz et al. 2015)."""
    nn.init.xavier_uniform_(inward)
    for gate in between.chunk(4):
        nn.init.orthogonal_(gate)
    between_bias.zero_()
    inward_bias.zero_()
    hidden = between.shape[1]
    inward_bias[hidden : 2 * hidden] = 1.0
