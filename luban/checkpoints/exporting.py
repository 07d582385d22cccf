"""A trained text encoder as a checkpoint folder that others read: adapters merged, or alone in PEFT's format."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luban.checkpoints import adapters, folder
from luban.errors import BundleError
from luban.layers import lora
from luban.messages import tr
from luban.tokenizing import subwords

TRIED = 16  # tokens that merging is tried on


def export(place: str | Path, encoder: nn.Module, spec: dict[str, Any], *, head: nn.Module | None = None, kind: str = "bert") -> None:
    """`config.json`, `model.safetensors` and tokenizer files of an encoder and the spec of its column; adapters are merged.

    `head` is that of hidden tokens, where it goes along.

    Raises BundleError L442 for a tokenizer that no checkpoint can hold, L444 where merging changes an answer.
    """
    pieces = subwords.opened(spec["tokenizer"])
    if pieces is None:
        fix = tr("train it with tokenizer = {name} under [inputs]", name='"wordpiece"')
        raise BundleError("L442", tr("a checkpoint cannot hold byte pairs such as Luban's"), where=str(place), fix=fix)
    names: Any = importlib.import_module(f"luban.checkpoints.{kind}")
    plain: Any = adapters.merged(encoder, tried) if any(lora.adapters(encoder)) else encoder
    settings = vars(plain.config) | {"vocabulary": len(plain.words.weight), "positions": len(plain.places.weight)}
    files = subwords.files_of(pieces.parts, spec["max_length"])
    pad = pieces.parts.pad
    weights = plain.state_dict() | ({} if head is None else {f"head.{name}": tensor for name, tensor in head.state_dict().items()})
    folder.write(place, names.config_of(settings, masked=head is not None, pad=pad), names.theirs(settings, weights, pad=pad), files)


def tried(encoder: Any) -> Tensor:
    """(1, T, D) states of a few tokens of every part of the vocabulary."""
    rows = len(encoder.words.weight)
    most = min(TRIED, encoder.longest)
    return encoder.states(torch.linspace(1, rows - 1, most).long()[None])


def export_adapters(place: str | Path, encoder: nn.Module, *, base: str, kind: str = "bert") -> None:
    """The adapters alone, for PEFT. Raises BundleError L443 for an encoder without."""
    names: Any = importlib.import_module(f"luban.checkpoints.{kind}")
    adapters.write(place, encoder, names.module_of, base=base)
