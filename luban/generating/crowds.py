"""A decoder that is asked for one token at a time as well as for many: beside its weights stands a second layout, read wherever several rows come together.

T rows in at once, D width in, O width out. One row reads every weight once, in any order. From a few rows on the usual product of a CPU rearranges the
weights at each call; a layout made once spares that, and changes nothing but the order of sums.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.generating.faster import GAIN, BlockedLinear, times

FEW = (2, 4)  # rows from which the layout may pay, tried in this order; then as many as there are streams
ENOUGH = 2048  # outputs that a trial is made with


class EitherLinear(nn.Module):
    """y = Wx + b: fewer than `least` rows by the weights as they are, more of them in blocks."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int, least: int) -> None:
        super().__init__()
        self.weight, self.bias, self.least = weight, bias, least
        self.blocked = BlockedLinear(weight, bias, rows)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., O)."""
        if x.numel() < self.least * x.shape[-1]:
            return F.linear(x, self.weight, self.bias)
        return self.blocked(x)  # type: ignore[no-any-return]


@torch.inference_mode()
def for_crowds(net: Any, rows: int, most_bytes: int) -> Any:
    """A copy that shares the net's weights and is quicker for about `rows` rows at a time; the net itself, where nothing is gained by it.

    That is: on another device or in another type than float32 on a CPU, where the second layout would take more than `most_bytes`, and where trials
    of each shape say that it does not pay here.
    """
    weights = products(net)
    if rows < FEW[0] or not 0 < sum(weight.nbytes for weight, _ in weights.values()) <= most_bytes:
        return net
    shapes = {tuple(weight.shape): weight for weight, _ in weights.values()}
    paying = {shape: least_rows(weight, rows) for shape, weight in shapes.items()}
    made = copy.deepcopy(net, {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())})
    for name, (weight, bias) in weights.items():
        if least := paying[tuple(weight.shape)]:
            parent, _, last = name.rpartition(".")
            setattr(made.get_submodule(parent), last, EitherLinear(weight, bias, rows, least))
    return made


def products(net: Any) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Weight and bias of each product by its name; a head that is the table of token vectors too."""
    layers = ((name, module) for name, module in net.named_modules() if type(module) is nn.Linear)
    found: dict[str, tuple[Tensor, Tensor | None]] = {name: (layer.weight, layer.bias) for name, layer in layers}
    if found and getattr(net, "head", net) is None:
        found["head"] = (net.embed.weight, None)
    usual = all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight, _ in found.values())
    return found if usual else {}


def least_rows(weight: Tensor, rows: int) -> int:
    """From how many rows on the layout is the quicker one, by trial; 0 = never."""
    part = weight[:ENOUGH]
    for count in sorted({*(few for few in FEW if few < rows), rows}):
        seconds = times(part, None, count, ("blocked",), packed_for=rows)
        if seconds.get("blocked", float("inf")) < GAIN * seconds["plain"]:
            return count
    return 0
