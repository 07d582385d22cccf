"""A decoder made faster for generation on a CPU, layer by layer, each only where a measurement says it pays.

T rows in at once, D width in, O width out. Saying a token reads every weight once. In 8 bits that is a quarter of the bytes; in float32 a layout in blocks serves several rows at once, with the same products in another order.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.eight_bits import Int8Linear, is_exact

TRIALS = 5
GAIN = 0.9  # of the time: less is noise


class BlockedLinear(nn.Module):
    """y = Wx + b, W in the layout that products of about `rows` rows like best."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        super().__init__()
        self.bias = None if bias is None else bias.detach()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., O)."""
        flat = x.flatten(0, -2) if x.ndim != 2 else x
        found: Tensor = torch.ops.mkldnn._linear_pointwise(flat.contiguous(), self.packed, self.bias, "none", [], "")
        return found.view(*x.shape[:-1], -1)


def in_eight_bits(weight: Tensor, bias: Tensor | None, rows: int) -> Int8Linear:
    """Raises NotImplementedError where this processor has no exact products of whole numbers."""
    if not is_exact(many=False) or not is_exact(many=True):
        raise NotImplementedError
    return Int8Linear.of(weight, bias)


FORMS: dict[str, Callable[[Tensor, Tensor | None, int], nn.Module]] = {"int8": in_eight_bits, "blocked": BlockedLinear}


@dataclass(frozen=True)
class Tried:
    """One layer: seconds as it is and in each form, and the form it has now."""

    name: str
    seconds: dict[str, float]
    form: str


@torch.inference_mode()
def faster(net: Any, rows: int, *, int8: bool = False) -> tuple[Any, list[Tried]]:
    """A copy of a decoder that says `rows` tokens at a time sooner, and what was measured; the net itself stays as it is.

    Without `int8` its logits are the same but for the order of sums. What this build of torch cannot do is left out.
    """
    forms = ("int8", "blocked") if int8 else ("blocked",)
    made = copy.deepcopy(net)
    made.eval().requires_grad_(False)
    layers = [(name, module) for name, module in made.named_modules() if type(module) is nn.Linear]
    weights: dict[str, tuple[Tensor, Tensor | None]] = {name: (module.weight, module.bias) for name, module in layers}
    if getattr(made, "head", made) is None:
        weights["head"] = (made.embed.weight, None)
    measured: dict[tuple[int, ...], dict[str, float]] = {}
    found = []
    for name, (weight, bias) in weights.items():
        if tuple(weight.shape) not in measured:
            measured[tuple(weight.shape)] = times(weight, bias, rows, forms)
        seconds = measured[tuple(weight.shape)]
        best = min(seconds, key=lambda form: seconds[form])
        form = best if seconds[best] < GAIN * seconds["plain"] else "plain"
        if form != "plain":
            parent, _, last = name.rpartition(".")
            setattr(made.get_submodule(parent), last, FORMS[form](weight, bias, rows))
        found.append(Tried(name, seconds, form))
    return made, found


def times(weight: Tensor, bias: Tensor | None, rows: int, forms: tuple[str, ...], *, packed_for: int = 0) -> dict[str, float]:
    """Seconds of a call as it is and in each form that works here, made for as many rows or for `packed_for`."""
    x = torch.randn(rows, weight.shape[1])
    found = {"plain": quickest(lambda: F.linear(x, weight, bias))}
    for form in forms:
        try:
            layer = FORMS[form](weight, bias, packed_for or rows)
            found[form] = quickest(lambda layer=layer: layer(x))  # type: ignore[misc]
        except (RuntimeError, NotImplementedError, AttributeError):
            continue  # this processor or build of torch has no such products
    return found


def quickest(work: Callable[[], Any]) -> float:
    """The quickest of a few calls."""
    work()
    best = float("inf")
    for _ in range(TRIALS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best
