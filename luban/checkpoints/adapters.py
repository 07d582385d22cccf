"""Adapters in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`, written from an adapted net and read into one.

Hu et al. 2022; the scale is the rank-stabilised one (`use_rslora`), Kalajdzievski 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luban.checkpoints import folder, shards
from luban.errors import BundleError
from luban.files import whole_folder
from luban.layers import lora
from luban.messages import tr

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BEGIN = "base_model.model."
PARTS = {"lora_a": "lora_A", "lora_b": "lora_B"}
TOLERANCE = 1e-5

Names = Callable[[str], str]  # the name of one of our modules -> theirs


def write(place: str | Path, net: nn.Module, theirs: Names, *, base: str) -> None:
    """The adapters of a net; `base` is the folder or name of the model they belong to. Raises BundleError L443 for a net without."""
    layers = dict(lora.adapters(net))
    if not layers:
        raise BundleError("L443", tr("the net has no adapters"), where=str(place), fix=tr('train it with adapt = "lora"'))
    first = next(iter(layers.values()))
    config = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base, "inference_mode": True, "bias": "none",
        "r": first.rank, "lora_alpha": first.alpha, "lora_dropout": first.lora_dropout.share, "use_rslora": True, "fan_in_fan_out": False,
        "target_modules": [theirs(name) for name in layers],
    }  # fmt: skip
    tensors = {f"{BEGIN}{theirs(name)}.{PARTS[part]}.weight": getattr(layer, part) for name, layer in layers.items() for part in PARTS}
    with whole_folder(Path(place)) as beside:
        (beside / CONFIG).write_text(folder.as_json(config), encoding="utf-8")
        shards.save(tensors, list(tensors), beside / WEIGHTS)


@torch.no_grad()
def read(place: str | Path, net: nn.Module, theirs: Names) -> None:
    """Put saved adapters into a net that has such. Raises BundleError L431, L432, L434 … L436, L443 where they are not its own."""
    place = Path(place)
    config = folder.read_json(place, CONFIG, folder.MOST_CONFIG)
    layers = dict(lora.adapters(net))
    first = next(iter(layers.values()), None)
    if first is None or not is_like(config, first):
        fix = tr("build the net with the rank and alpha of adapter_config.json")
        received = {key: config.get(key) for key in ("peft_type", "r", "lora_alpha", "use_rslora")}
        raise BundleError("L443", tr("these are not adapters of this net"), where=str(place), received=received, fix=fix)
    found = shards.read_one(place / WEIGHTS)
    own = {f"{BEGIN}{theirs(name)}.{PARTS[part]}.weight": getattr(layer, part) for name, layer in layers.items() for part in PARTS}
    if wrong := sorted(own.keys() ^ found.keys()):
        what = tr("the adapters are those of other layers: {names}", names=", ".join(wrong[:3]))
        raise BundleError("L435", what, where=str(place))
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise BundleError("L436", tr("a tensor has another shape: {name}", name=name), where=str(place), received=tuple(tensor.shape))
        own[name].copy_(tensor)


def is_like(config: dict[str, Any], layer: lora.LoraLinear) -> bool:
    """Whether a configuration speaks of adapters of this rank and scale."""
    same = config.get("r") == layer.rank and config.get("lora_alpha") == layer.alpha
    return same and config.get("peft_type") == "LORA" and config.get("use_rslora") is True


@torch.no_grad()
def merged(net: nn.Module, compute: Callable[[nn.Module], Tensor]) -> nn.Module:
    """The net with its adapters in the matrices, held against the net itself on what `compute` makes of both.

    Raises BundleError L444 where they differ by more than 1e-5 of the whole.
    """
    net.eval()
    out = lora.merged(net).eval()
    before, after = compute(net), compute(out)
    difference = float((before - after).norm() / before.norm().clamp(min=1e-12))
    if not difference <= TOLERANCE:
        raise BundleError("L444", tr("merged, the net answers otherwise"), received=f"{difference:.1e}", allowed=[f"≤ {TOLERANCE}"])
    return out
