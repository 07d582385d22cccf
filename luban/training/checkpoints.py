"""Checkpoints: everything a resume needs, in a folder that is whole or absent, hashed, at least two deep.

Tensors as safetensors, the rest as JSON; no pickle, so reading one can run no code. Randomness is computed, so none is stored.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luban.errors import TrainingError, say, warn
from luban.files import digest
from luban.messages import tr

KEPT = 2
FILES = ("tensors.safetensors", "state.json")


def save(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write beside its place, flush to disk, rename, flush the folder; then drop all but the newest two."""
    place = folder / f"step-{step:09d}"
    temporary = folder / f"tmp-{os.getpid()}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary / FILES[0])
        (temporary / FILES[1]).write_text(json.dumps(state), encoding="utf-8")
        manifest = {name: digest(temporary / name) for name in FILES}
        (temporary / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
        for name in (*FILES, "MANIFEST.json"):
            flush(temporary / name)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(temporary, place)
        flush(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        need = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        what = tr("the checkpoint could not be written: {why}", why=error.strerror or str(error))
        fix = tr("{need} bytes are needed, {free} are free; the older checkpoint is whole", need=need, free=free)
        raise TrainingError("L320", what, where=str(folder), fix=fix) from error
    for old in checkpoints(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest whole checkpoint; a damaged one is set aside, aloud, and the one before it is used."""
    for place in checkpoints(folder):
        try:
            manifest = json.loads((place / "MANIFEST.json").read_text(encoding="utf-8"))
            if any(digest(place / name) != manifest[name] for name in FILES):
                raise ValueError(tr("its contents do not match its manifest"))
            return load_file(place / FILES[0]), json.loads((place / FILES[1]).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            aside = place.with_name(f"damaged-{place.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(place, aside)
            warn("W320", tr("a checkpoint is damaged and set aside: {why}", why=str(error)[:80]), where=str(place))
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("step-*"), reverse=True) if folder.is_dir() else []


def flush(path: Path) -> None:
    """Make sure of a file, or of a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pack(
    net: nn.Module, optimizers: dict[str, torch.optim.Optimizer], extra: dict[str, dict[str, Tensor]]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A net, its optimizers and further named weights (average, best) as flat tensors and JSON."""
    tensors = {f"net/{name}": tensor for name, tensor in net.state_dict().items()}
    for title, weights in extra.items():
        tensors |= {f"{title}/{name}": tensor for name, tensor in weights.items()}
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
