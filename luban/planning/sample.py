"""The data a forecast looks at: what was prepared before, all of it where that is quick, else a sample of the files."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polars.exceptions import PanicException, PolarsError

from luban import memory
from luban.data import store
from luban.data.memo import recipe_key, remembered
from luban.data.prepare import Prepared, prepare
from luban.data.reading import locate
from luban.data.source import SPLITS
from luban.errors import LubanError, MachineError, logger, warn
from luban.files import scratch_folder
from luban.messages import tr
from luban.planning.memory import Peak, bytes_of_columns, resident
from luban.planning.pieces import LINES, PARQUET, copy_all, copy_some, is_divisible, is_packed, size_of
from luban.recipe import Recipe, parse, to_dict

QUICK_S = 6.0  # preparing may take so long
PATIENCE = 1.5  # times that it is waited for, in a process of its own: Python and libraries are loaded
FEW_BYTES, SAMPLE_BYTES = 1_000_000, 6_000_000  # of the largest file: first, and at the most
SMALL_BYTES = 20_000  # of a file that are always read
DAMAGED = (OSError, ValueError, PolarsError, PanicException)  # as which a broken file shows
MORE_S = 3.0  # that preparing a sample may take


@dataclass(frozen=True)
class Sample:
    """Prepared rows, and how they stand to all rows."""

    prepared: Prepared
    scale: float  # all rows over these; 1 = these are all
    seconds: float  # that the run will take to have its rows
    cpu_seconds: float
    peak_bytes: int  # while it does
    extra_bytes: int  # resident afterwards, beyond what the sample holds
    disk_bytes: int  # of the prepared store


@dataclass(frozen=True)
class Part:
    """A recipe over some of its bytes."""

    recipe: Recipe
    scale: float  # all bytes over these


def open_sample(recipe: Recipe, folder: Path) -> Sample:
    """Open or prepare, or take a sample. Raises DataError, MachineError L511."""
    memo = folder / f"{recipe_key(recipe)}.json"
    known = remembered(memo, memory.allowance(recipe.training.memory))
    if known and store.is_whole(folder / known):
        return whole(recipe, folder)
    if (found := looked(recipe, folder)) is not None:
        return found
    begun = time.monotonic()
    if prepare_apart(recipe, folder, PATIENCE * QUICK_S):
        return whole(recipe, folder)
    if time.monotonic() - begun < PATIENCE * QUICK_S:  # it failed: here it says why
        prepare(recipe, folder)
        return whole(recipe, folder)
    with scratch_folder(folder.parent, "plan") as place:
        try:
            return part(recipe, place.absolute())
        except DAMAGED:  # what is wrong is said by whoever reads the whole
            prepare(recipe, folder)
    return whole(recipe, folder)


def looked(recipe: Recipe, folder: Path) -> Sample | None:
    """A sample that says that preparing all takes too long; None where it does not, or says nothing: then all is prepared."""
    taken: Sample | None = None
    until = time.perf_counter() + QUICK_S
    with suppress(LubanError, *DAMAGED), unheard(), scratch_folder(folder.parent, "plan") as place:
        paths = [path for _, path in locate(recipe.data, recipe.base.absolute(), whole=recipe.reading.text == "passage")]
        if max(map(size_of, paths)) > FEW_BYTES and all(is_divisible(path) and not is_packed(path) for path in paths):
            taken = part(recipe, place.absolute(), until=until)
    if taken is None or taken.seconds <= until - time.perf_counter():
        memory.trim()
        return None
    for facts in taken.prepared.facts["warnings"]:
        warn(facts["code"], facts["what"], where=facts["where"], fix=facts["fix"])
    return taken


@contextmanager
def unheard() -> Iterator[None]:
    """What is said within reaches only those who begin to listen within."""
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def whole(recipe: Recipe, folder: Path) -> Sample:
    """What is prepared: the run will only open it."""
    begun, cpu = time.perf_counter(), os.times().user
    with Peak() as peak:
        prepared = prepare(recipe, folder)
    key = remembered(folder / f"{recipe_key(recipe)}.json", memory.allowance(recipe.training.memory))
    size = sum(path.stat().st_size for path in (folder / str(key)).glob("*"))
    return Sample(prepared, 1.0, time.perf_counter() - begun, os.times().user - cpu, peak.bytes, 0, size)


def prepare_apart(recipe: Recipe, folder: Path, patience: float) -> bool:
    """Prepare in another process, whose memory is not this one's; whether it was done in time."""
    asked = {
        "recipe": to_dict(recipe),
        "base": str(recipe.base.absolute()),
        "name": recipe.name,
        "file": recipe.file,
        "folder": str(folder),
    }
    with subprocess.Popen(
        [sys.executable, "-c", "from luban.planning.sample import child; child()"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            process.communicate(json.dumps(asked), timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            return False
    return process.returncode == 0


def child() -> None:
    """What the other process does."""
    asked = json.loads(sys.stdin.read())
    recipe = parse(asked["recipe"], base=Path(asked["base"]), name=asked["name"], file=asked["file"])
    prepare(recipe, Path(asked["folder"]).absolute())


def part(recipe: Recipe, place: Path, *, until: float = 0.0) -> Sample:
    """Prepare two samples of each file: time and memory of the second are carried on to all bytes; libraries are loaded with the first, which is
    enough where it says that all can be prepared `until` then."""
    few = sampled(recipe, place / "few", FEW_BYTES)
    first = carried(few, recipe, place / "few" / "prepared")
    if few.scale == 1 or first.seconds <= until - time.perf_counter():
        return first
    most = min(SAMPLE_BYTES, int(FEW_BYTES * max(1.0, MORE_S * few.scale / first.seconds)))
    more = sampled(recipe, place / "more", most)
    second = carried(more, recipe, place / "more" / "prepared")
    once_s = max(0.0, first.seconds / few.scale - second.seconds / more.scale)
    return replace(second, seconds=second.seconds + once_s, cpu_seconds=second.cpu_seconds * (1 + once_s / max(second.seconds, 1e-9)))


def carried(some: Part, recipe: Recipe, place: Path) -> Sample:
    """What preparing these bytes takes, carried on to all."""
    begun, cpu, before = time.perf_counter(), os.times().user, resident()
    with Peak() as peak:
        prepared = prepare(some.recipe, place)
    seconds, cpu = time.perf_counter() - begun, os.times().user - cpu
    held = sum(bytes_of_columns(columns) for columns in prepared.examples.values())
    extra = min(held * some.scale, store.IN_MEMORY_BYTES) - held
    highest = before + max(0, peak.bytes - before) * some.scale
    size = sum(path.stat().st_size for path in place.rglob("*.*")) * some.scale
    prepared = replace(prepared, recipe=replace(prepared.recipe, data=recipe.data))
    return Sample(prepared, some.scale, seconds * some.scale, cpu * some.scale, int(highest), int(max(0, extra)), int(size))


def sampled(recipe: Recipe, place: Path, most: int) -> Part:
    """The recipe over at most so many bytes of its largest file and the same share of all others, and all bytes over those. Raises MachineError L511."""
    found = locate(recipe.data, recipe.base.absolute(), whole=recipe.reading.text == "passage")
    sizes = [size_of(path) for _, path in found]
    share, kept, paths = most / max(1, *sizes), 0, dict[str, list[str]]()
    for number, ((split, path), size) in enumerate(zip(found, sizes, strict=True)):
        target = place / str(number) / path.name
        target.parent.mkdir(parents=True)
        bound = max(SMALL_BYTES, int(share * size))
        if size > bound and not is_divisible(path):
            raise indivisible(path)
        kept += copy_some(path, target, bound) if size > bound else copy_all(path, target)
        paths.setdefault(split, []).append(str(target))
    data: Any = paths[""] if set(paths) == {""} else {split: paths[split] for split in SPLITS if split in paths}
    return Part(replace(recipe, data=data), sum(sizes) / max(1, kept))  # other paths of the recipe lie where they lay


def indivisible(path: Path) -> MachineError:
    """L511."""
    return MachineError(
        "L511",
        tr("preparing takes longer than {n:.0f} s, and this format can't be read in part", n=QUICK_S),
        where=str(path),
        allowed=[*LINES, PARQUET, tr("a folder")],
        fix=tr("prepare it once with `luban train`, or convert it to parquet"),
    )
