"""Low-rank adapters: a linear layer's matrix stays as it is, and the product of two thin ones is learnt beside it.

D width in, O width out, r rank. Hu et al. 2022, eq. 3: y = Wx + s·B(Ax); rank-stabilised: s = α/√r, Kalajdzievski 2023, section 3.
B begins at 0, so that an adapted net begins as the net it adapts. The names of the layers' own weights do not change.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.dropout import Dropout


class LoraLinear(nn.Linear):
    """W frozen, A and B learnt."""

    active = True  # else it is the layer it adapts

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.rank, self.alpha = base.in_features, base.out_features, rank, alpha
        self.weight, self.bias = base.weight, base.bias
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features, dtype=base.weight.dtype, device=base.weight.device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=base.weight.dtype, device=base.weight.device))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        self.lora_dropout = Dropout(dropout)

    @property
    def scale(self) -> float:
        """s."""
        return self.alpha / math.sqrt(self.rank)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., O)."""
        if not self.active:
            return F.linear(x, self.weight, self.bias)
        thin = F.linear(self.lora_dropout(x), self.lora_a)  # (..., r)
        return F.linear(x, self.weight, self.bias) + F.linear(thin, self.lora_b) * self.scale

    def product(self) -> Tensor:
        """(O, D) s·BA, what merging adds to W; in float64, so that it is rounded once."""
        return self.lora_b.double() @ self.lora_a.double() * self.scale

    def plain(self) -> nn.Linear:
        """One linear layer with W + s·BA."""
        made = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        made.weight = nn.Parameter((self.weight.detach().double() + self.product().detach()).to(self.weight.dtype))
        made.bias = self.bias
        return made


def attach(net: nn.Module, rank: int, *, alpha: float, dropout: float = 0.0) -> list[str]:
    """Freeze a net and put an adapter beside each of its linear layers; their names."""
    net.requires_grad_(False)
    names = [name for name, module in net.named_modules() if type(module) is nn.Linear]
    for name in names:
        parent, last = parent_of(net, name)
        setattr(parent, last, LoraLinear(getattr(parent, last), rank, alpha, dropout))
    return names


def merged(net: nn.Module) -> nn.Module:
    """A copy without adapters that computes the same; the net is left as it is."""
    out = copy.deepcopy(net)
    for name, layer in list(adapters(out)):
        parent, last = parent_of(out, name)
        setattr(parent, last, layer.plain())
    return out


def adapters(net: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """The adapted layers by name."""
    for name, module in net.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


@contextmanager
def without(net: nn.Module) -> Iterator[None]:
    """Within, the net computes what it did before it was adapted: the reference of preferences."""
    layers = [layer for _, layer in adapters(net)]
    for layer in layers:
        layer.active = False
    try:
        yield
    finally:
        for layer in layers:
            layer.active = True


def added(net: nn.Module) -> list[str]:
    """Names of the parameters that adapters brought: no checkpoint of the net itself has them."""
    return [f"{name}.{part}" for name, _ in adapters(net) for part in ("lora_a", "lora_b")]


def parent_of(net: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds another, and its name there."""
    above, _, last = name.rpartition(".")
    return net.get_submodule(above), last
