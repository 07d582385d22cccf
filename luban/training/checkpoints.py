"""Checkpoints: everything a resume needs, in a folder that is whole or absent, hashed, two deep; the best weights also in one of their own.

Tensors as safetensors, the rest as JSON; no pickle, so reading one can run no code. Randomness is computed, so none is stored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import Tensor

from luban.errors import TrainingError, say, warn
from luban.files import digest, remove_folder, sweep, whole_folder
from luban.messages import tr

KEPT = 2
FILES = ("tensors.safetensors", "state.json")
MANIFEST = "MANIFEST.json"


def save(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """A checkpoint of this step; then drop all but the newest two. Raises TrainingError L320."""
    place = folder / f"step-{step:09d}"
    write(place, tensors, state)
    for old in checkpoints(folder)[KEPT:]:
        remove_folder(old)
    return place


def write(place: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """One hashed folder, whole or absent. Raises TrainingError L320."""
    weights = serialize({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    contents: dict[str, bytes] = dict(zip(FILES, (weights, json.dumps(state).encode()), strict=True))
    contents[MANIFEST] = manifest({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})
    try:
        with whole_folder(place) as beside:
            for name, content in contents.items():
                (beside / name).write_bytes(content)
    except OSError as error:
        raise not_written(error, place.parent, sum(map(len, contents.values()))) from error


def not_written(error: OSError, folder: Path, need: int) -> TrainingError:
    """The error of a disk that is full, or refuses."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    what = tr("the checkpoint could not be written: {why}", why=error.strerror or str(error))
    free = shutil.disk_usage(there).free
    fix = tr("{need} bytes are needed, {free} are free; the older checkpoint is whole", need=need, free=free)
    return TrainingError("L320", what, where=str(folder), fix=fix)


def manifest(digests: dict[str, str]) -> bytes:
    """The digests as they stand in the manifest, byte by byte."""
    return json.dumps(digests).encode()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest whole checkpoint; a damaged one is set aside, aloud, and the one before it is used."""
    sweep(folder)
    places = checkpoints(folder)
    for place in places:
        if found := read(place):
            return found
    if places:
        warn("W321", tr("no whole checkpoint is left: this begins anew"), where=str(folder), fix=tr("check the disk"))
    return None


def read(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What was written there; None, and set aside aloud, where it is not byte by byte the same."""
    try:
        if (place / MANIFEST).read_bytes() != manifest({name: digest(place / name) for name in FILES}):
            raise ValueError(tr("its contents do not match its manifest"))
        return load_file(place / FILES[0]), json.loads((place / FILES[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        aside = place.with_name(f"damaged-{place.name}")
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):  # another rank did
            os.rename(place, aside)
        warn("W320", tr("a checkpoint is damaged and set aside: {why}", why=str(error)[:80]), where=str(place))
        return None


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*"), reverse=True) if folder.is_dir() else []


def pack(
    weights: dict[str, Tensor], optimizers: dict[str, torch.optim.Optimizer], extra: dict[str, dict[str, Tensor]]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A net's weights, its optimizers and further named weights (average, best) as flat tensors and JSON."""
    tensors = {f"net/{name}": tensor for name, tensor in weights.items()}
    for title, others in extra.items():
        tensors |= {f"{title}/{name}": tensor for name, tensor in others.items()}
    plain: dict[str, Any] = {}
    for part, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                name = f"optimizer/{part}/{index}/{key}"
                if isinstance(value, Tensor):
                    tensors[name] = value
                else:
                    plain[name] = value
    return {name: tensor.clone() for name, tensor in tensors.items()}, {"parts": list(optimizers), "plain": plain}


def unpack_weights(tensors: dict[str, Tensor], title: str) -> dict[str, Tensor]:
    """The named weights, without their title."""
    return {name[len(title) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{title}/")}


def unpack_optimizer(optimizer: torch.optim.Optimizer, part: str, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
    """Put the state of one optimizer back."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in (tensors | plain).items():
        if name.startswith(f"optimizer/{part}/"):
            index, key = name[len(f"optimizer/{part}/") :].split("/", 1)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def announce(step: int) -> None:
    """Say that training goes on."""
    say(tr("resuming at step {step}", step=step))
