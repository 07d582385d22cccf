"""The folder of a run: one per recipe, locked while in use; the same recipe finds its folder again."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luban.data.memo import code_version
from luban.errors import TrainingError
from luban.files import part_of, write_whole
from luban.messages import tr
from luban.recipe import Recipe, to_dict

IDENTITY = "identity.json"  # data and code it began with
RECIPE = "asked.json"  # the recipe as it was asked for, before anything was inferred
LOCK = "lock"
VECTORS = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16", "i8mm")
UNCLAIMED = {LOCK, part_of(Path(RECIPE)).name}  # a folder that holds no more was left by a kill


def find(recipe: Recipe, runs: Path) -> Path:
    """`runs/NAME`, or NAME-2, -3 … where another recipe of that name already has the folder."""
    asked = fingerprint(recipe)
    for number in itertools.count(1):
        folder = runs / (recipe.name if number == 1 else f"{recipe.name}-{number}")
        if not folder.exists():
            return folder
        try:
            if (folder / RECIPE).read_text(encoding="utf-8") == asked:
                return folder
        except OSError:
            if folder.is_dir() and {path.name for path in folder.iterdir()} <= UNCLAIMED:
                return folder
    raise StopIteration


def fingerprint(recipe: Recipe) -> str:
    """The recipe and the place its paths are seen from."""
    return json.dumps([to_dict(recipe), str(recipe.base.absolute())], sort_keys=True, ensure_ascii=False, default=str)


def make(folder: Path, recipe: Recipe) -> None:
    """Write down whose run it is. Raises TrainingError L330 where that cannot be written, L332 where another recipe has the folder."""
    asked = folder / RECIPE
    try:
        if asked.is_file() and asked.read_text(encoding="utf-8") != fingerprint(recipe):
            raise TrainingError(
                "L332",
                tr("this folder holds the run of another recipe, or of this one before it was changed"),
                where=str(folder),
                fix=tr("choose another with --run FOLDER, or remove it"),
            )
        if not asked.is_file():
            write_whole(asked, fingerprint(recipe).encode())
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> TrainingError:
    """L330, and why."""
    what = tr("the run folder cannot be written: {why}", why=error.strerror or str(error))
    return TrainingError("L330", what, where=str(folder), fix=tr("choose another with --run FOLDER"))


def claim(folder: Path, data_hash: str, *, finished: bool) -> None:
    """Hold a run to the data and the code it began with. Raises TrainingError L333: a resume would mix two splits."""
    identity, place = {"data": data_hash, "code": code_version()}, folder / IDENTITY
    try:
        begun = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = identity
    fix = tr("choose another folder with --run FOLDER, or remove this one")
    if begun.get("data") != data_hash:
        raise TrainingError("L333", tr("the data changed since this run began"), where=str(folder), fix=fix)
    if begun != identity and not finished:
        raise TrainingError("L333", tr("Luban itself changed since this run began"), where=str(folder), fix=fix)
    write_whole(place, json.dumps(begun).encode())


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Create and hold the folder; a second trainer is refused by name. Raises TrainingError L330, L331. The kernel frees it at any death."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip()
            raise TrainingError(
                "L331",
                tr("another process trains in this folder: {holder}", holder=holder),
                where=str(folder),
                fix=tr("wait for it, or choose another with --run FOLDER"),
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def environment(threads: int) -> dict[str, Any]:
    """What decides the bits of a run."""
    import numpy
    import polars
    import torch

    import luban
    from luban.training.distributed import world

    return {
        "luban": luban.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "polars": polars.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "flags": flags(),
        "threads": threads,
        "ranks": world()[1],
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor() -> str:
    """The processor's name."""
    return of_processor("model name") or platform.processor()


def flags() -> str:
    """Of what the processor can do, what chooses the kernels of a product or a sum."""
    return " ".join(sorted(flag for flag in of_processor("flags", "Features").split() if flag.startswith(VECTORS)))


def of_processor(*keys: str) -> str:
    """The first line of /proc/cpuinfo with one of these names; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() in keys), "")
