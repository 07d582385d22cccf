"""Weights as safetensors: one file, or shards and the index that says which tensor lies in which.

The head of each file is held against its size before a tensor is made; tensors are mapped, not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from luban import strict_json
from luban.errors import BundleError
from luban.files import open_plain
from luban.messages import tr

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MOST_INDEX = 32_000_000
MOST_HEAD = 32_000_000
MOST_SHARDS = 1000
SHARD_BYTES = 5_000_000_000
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.safetensors")
BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip


def read_one(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, mapped. Raises BundleError L431, L434."""
    wanted = head(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise damaged(path, str(error)) from error


def read_all(folder: Path, index: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of all shards; each must lie where the index says, and nowhere else. Raises BundleError L431, L434, L435."""
    where = folder / INDEX
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise damaged(where, tr("it has no weight_map"))
    names = sorted(set(places.values()))
    if len(names) > MOST_SHARDS or (odd := next((name for name in names if not PLAIN_NAME.fullmatch(name)), None)):
        raise damaged(
            where, tr("a shard must be a plain file name: {name}", name=repr(odd if len(names) <= MOST_SHARDS else len(names))[:60])
        )
    found: dict[str, Tensor] = {}
    for name in names:
        expected = {tensor for tensor, shard in places.items() if shard == name}
        there = read_one(folder / name)
        if wrong := sorted(expected ^ there.keys()):
            what = tr("the index and the shard name different tensors: {names}", names=", ".join(wrong[:3]))
            raise BundleError("L435", what, where=str(folder / name))
        found |= there
    return {name: found[name] for name in places}


def head(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor, held against each other and the file's size. Raises BundleError L431, L434."""
    try:
        with open_plain(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            data = file.read(length) if length <= min(MOST_HEAD, size) else b""
    except OSError as error:
        fix = tr("copy the folder with its links resolved: cp -rL OLD NEW")
        raise BundleError("L431", tr("a file is missing, or is a link"), where=str(path), fix=fix) from error
    try:
        if not data or len(data) != length:
            raise ValueError(tr("its length is {n}", n=length))
        found = {name: facts for name, facts in strict_json.loads(data).items() if name != "__metadata__"}
        check_spans(found, size - 8 - length)
        return {name: (tuple(facts["shape"]), facts["dtype"]) for name, facts in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, str(error)) from error


def check_spans(found: dict[str, Any], size: int) -> None:
    """Every tensor as long as its shape says, one after the other, without gap or overlap, to the end. Raises ValueError."""
    end = 0
    for name, facts in sorted(found.items(), key=lambda item: (item[1]["data_offsets"], item[0])):
        shape, (begin, stop) = facts["shape"], facts["data_offsets"]
        plain = all(type(n) is int and n >= 0 for n in [*shape, begin, stop])
        if not plain or facts["dtype"] not in BYTES or begin != end or stop - begin != math.prod(shape) * BYTES[facts["dtype"]]:
            raise ValueError(tr("tensor {name} does not fit its place", name=name[:60]))
        end = stop
    if end != size:
        raise ValueError(tr("it speaks of another number of bytes than the file has"))


def write(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int) -> dict[str, Any] | None:
    """The weights in one file, or in shards: then the index that belongs beside them."""
    groups = list(cut(tensors, shard_bytes))
    if len(groups) <= 1:
        save(tensors, list(tensors), folder / WHOLE)
        return None
    places: dict[str, str] = {}
    for number, names in enumerate(groups, 1):
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        save(tensors, names, folder / file)
        places |= dict.fromkeys(names, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return {"metadata": {"total_size": total}, "weight_map": {name: places[name] for name in tensors}}


def cut(tensors: Mapping[str, Tensor], most: int) -> Iterable[list[str]]:
    """Names in their order, in groups of at most so many bytes; a larger tensor stands alone."""
    held: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        need = tensor.numel() * tensor.element_size()
        if held and size + need > most:
            yield held
            held, size = [], 0
        held.append(name)
        size += need
    yield held


def save(tensors: Mapping[str, Tensor], names: list[str], path: Path) -> None:
    """One file, as transformers marks it; tensors that share their memory are written each by itself."""
    known: set[int] = set()
    out = {}
    for name in names:
        tensor = tensors[name].detach().cpu().contiguous()
        shared = tensor.numel() > 0 and tensor.data_ptr() in known
        known.add(tensor.data_ptr())
        out[name] = tensor.clone() if shared else tensor
    with torch.no_grad():
        save_file(out, path, metadata={"format": "pt"})


def damaged(path: Path, why: str) -> BundleError:
    """L434: the file is not such as safetensors writes."""
    fix = tr("copy or download the folder again")
    return BundleError("L434", tr("the weights are damaged: {why}", why=why[:100]), where=str(path), fix=fix)
