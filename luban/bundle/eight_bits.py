"""Layers of a net put into 8 bits, and a net made ready for the weights of such a bundle."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.layers.eight_bits import Int8Linear
from luban.layers.lora import LoraLinear

HEAD = "head"
LEVELS = ".levels"


def layers_of(net: Any) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Weight and bias of each linear layer by its name, adapters in their matrices; a head that is the table of token vectors too."""
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, module in net.named_modules():
        if isinstance(module, LoraLinear):
            module = module.plain()
        elif type(module) is not nn.Linear:
            continue
        if module.weight.device.type == "cpu" and module.weight.dtype == torch.float32:
            found[name] = (module.weight, module.bias)
    if has_tied_head(net):
        found[HEAD] = (net.embed.weight, None)
    return found


def has_tied_head(net: Any) -> bool:
    """Whether its logits are products with the table of token vectors."""
    return getattr(net, HEAD, net) is None and isinstance(getattr(net, "embed", None), nn.Embedding) and hasattr(net, "logits")


@contextmanager
def counted(net: Any) -> Iterator[dict[str, list[int]]]:
    """Within, how many tokens each call of a linear layer is given, by its name."""
    calls: dict[str, list[int]] = {}

    def note(name: str) -> Any:
        return lambda module, inputs: calls.setdefault(name, []).append(inputs[0].numel() // max(1, inputs[0].shape[-1]))

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    tied = has_tied_head(net)
    if tied:
        plain, noted = net.logits, note(HEAD)
        net.logits = lambda hidden: (noted(net, (hidden,)), plain(hidden))[1]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
        if tied:
            del net.logits


def typical(calls: Mapping[str, list[int]]) -> dict[str, int]:
    """The number of tokens by which most of a layer's work is done: half of all tokens come in calls of at least so many."""
    found = {}
    for name, sizes in calls.items():
        rows = np.sort(np.array(sizes))[::-1]
        found[name] = int(rows[np.searchsorted(np.cumsum(rows), rows.sum() / 2)])
    return found


def put(net: Any, name: str, layer: nn.Module) -> None:
    """In the place of a layer."""
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, layer)


def make_ready(net: Any, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> bool:
    """Put layers in 8 bits where the weights have them, as long as they fit; whether there are any. What does not fit is found when all is compared."""
    names = [name.removesuffix(LEVELS) for name, (_, dtype) in shapes.items() if name.endswith(LEVELS) and dtype == "I8"]
    layers = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    for name in names:
        bias = f"{name}.bias" in shapes
        if name in layers:
            put(net, name, Int8Linear(layers[name].in_features, layers[name].out_features, bias=bias))
        elif name == HEAD and has_tied_head(net):
            put(net, name, Int8Linear(net.embed.embedding_dim, net.embed.num_embeddings, bias=False))
    return bool(names)


def plain(net: nn.Module) -> nn.Module:
    """A copy in float32 whose weights are what the numbers stand for."""
    made = copy.deepcopy(net)
    for name, module in list(made.named_modules()):
        if isinstance(module, Int8Linear):
            layer = nn.Linear(module.levels.shape[1], module.levels.shape[0], bias=module.bias is not None, device="meta")
            layer.weight = nn.Parameter(module.weight, requires_grad=False)
            layer.bias = None if module.bias is None else nn.Parameter(module.bias, requires_grad=False)  # type: ignore[assignment]
            put(made, name, layer)
    return made.eval()


def is_light(net: nn.Module) -> bool:
    """Whether any layer is in 8 bits."""
    return any(isinstance(module, Int8Linear) for module in net.modules())
