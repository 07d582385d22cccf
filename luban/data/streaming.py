"""Preparing data larger than memory: records go to blocks on the disk, are fitted on by a sample where they must be, and encoded block by block.

What fits in memory is prepared as `prepare.build` does; here the same functions see the same rows, a block at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from luban import memory
from luban.columns import Columns, Reject
from luban.data import prepare as whole
from luban.data import store
from luban.data.checks import checks
from luban.data.completing import columns_of, complete, divided_as, own_columns, splitting_of, target_of, used_columns
from luban.data.growing import GrowingColumns
from luban.data.inference import SAMPLE
from luban.data.readers import suffix_of
from luban.data.reading import locate
from luban.data.source import Source
from luban.data.splits import NAMES, TRAIN
from luban.data.spool import Held, Spool, spool
from luban.draw import PIECE, key_of, sampled
from luban.errors import DataError, say, warn
from luban.mapped import release
from luban.messages import tr
from luban.recipe import Recipe
from luban.task import arrange, traits_of

EXPANSION = {".csv": 8, ".tsv": 8, ".txt": 8, ".tab": 8, ".jsonl": 10, ".ndjson": 10, ".json": 10, ".parquet": 16, ".pq": 16}
PACKED = 5  # a .gz file's content, over the file
PICTURE = 64  # pixels a side, where the recipe does not say
DISK = 3  # bytes of disk for each byte of data, while it is prepared
BLOCK_SHARE = 1 / 64  # of the room, that a block may fill
FIT_SHARE = 1 / 24  # of the room, for the records that are fitted on: fitting holds them several times over


@dataclass(frozen=True)
class Sample:
    """The rows that are checked and fitted on, and out of how many."""

    rows: np.ndarray  # (n,) int64, rising
    of: int

    @property
    def whole(self) -> bool:
        """Whether it is all rows."""
        return len(self.rows) == self.of


@dataclass(frozen=True)
class Streamed:
    """What was prepared on the disk."""

    source: Source  # without its records
    place: Path  # a folder that holds the whole store
    kept: dict[str, Any]  # facts, state and inputs, as the store has them


def bytes_in_memory(recipe: Recipe) -> int:
    """What reading all tables at once would take, about."""
    return sum(size * EXPANSION.get(suffix.removesuffix(".gz"), 0) for size, suffix in sizes(recipe))


def sizes(recipe: Recipe) -> Iterator[tuple[int, str]]:
    """Bytes, unpacked, and suffix of every file; folders hold media, which are not read at once."""
    for _, path in locate(recipe.data, recipe.base.absolute(), whole=recipe.reading.text == "passage"):
        if path.is_file():
            suffix = suffix_of(path)
            yield path.stat().st_size * (PACKED if suffix.endswith(".gz") else 1), suffix


def bytes_of_pictures(recipe: Recipe, source: Source) -> int:
    """What the encoded pictures of all rows would take at most."""
    return len(source.table) * sum(picture_bytes(section) for section in recipe.inputs.values() if section["kind"] == "image")


def picture_bytes(section: dict[str, Any]) -> int:
    """Of one picture, of the size the recipe says, or the largest that is chosen."""
    size = section.get("size") or PICTURE
    height, width = (size, size) if isinstance(size, int) else size
    return height * width * (section.get("channels") or 3)


def prepare(recipe: Recipe, folder: Path, room: int, check: Callable[[], None], heard: list[Any]) -> Streamed:
    """Tables larger than memory; `heard` are the warnings so far."""
    size, begun = sum(size for size, _ in sizes(recipe)), time.monotonic()
    with workbench(folder, DISK * size) as place:
        records = place / "records"
        records.mkdir()
        used = [name for name in (*recipe.inputs, target_of(recipe), *own_columns(recipe)) if name] if recipe.inputs else None
        rows, source = spool(recipe.data, recipe.reading, records, block_size(room), base=recipe.base, used=used, check=check)
        recipe = complete(recipe, rows.empty() if recipe.inputs else glimpse(rows))
        made = stored(recipe, rows, source, place, room, check, heard)
        shutil.rmtree(records)
    seconds = time.monotonic() - begun
    rate = f"{size / 1e6 / seconds:.1f}"
    say(tr("prepared {size} MB in {seconds} s: {rate} MB/s", size=size // 10**6, seconds=round(seconds), rate=rate))
    return made


def prepare_pictures(recipe: Recipe, source: Source, folder: Path, room: int, check: Callable[[], None], heard: list[Any]) -> Streamed:
    """A table that fits, of pictures that do not."""
    need = bytes_of_pictures(recipe, source)
    step = max(1, len(source.table) * block_size(room) // need)
    with workbench(folder, need) as place:
        return stored(recipe, Held(source.table, step), source, place, room, check, heard)


def stored(
    recipe: Recipe, rows: Spool | Held, source: Source, place: Path, room: int, check: Callable[[], None], heard: list[Any]
) -> Streamed:
    """The rows as a store in `place`."""
    examples, kept = build(recipe, rows, source, place, room, check)
    kept["facts"]["warnings"] = heard
    store.fill(place, examples, kept)
    return Streamed(source, place, kept)


@contextmanager
def workbench(folder: Path, need: int) -> Iterator[Path]:
    """An empty folder to prepare in, removed when that fails. Raises DataError L260 where the disk is too small."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    what = tr(
        "the data is larger than memory allows and is prepared on the disk: up to {need} MB of it, {free} MB are free",
        need=need // 10**6,
        free=free // 10**6,
    )
    say(what)
    if free < need:
        raise no_space(folder, need, free)
    place = workplace(folder)
    try:
        with on_disk(folder, need):
            place.mkdir()
            yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def block_size(room: int) -> int:
    """Bytes of records held at once."""
    return max(1 << 20, min(1 << 26, int(room * BLOCK_SHARE)))


def workplace(folder: Path) -> Path:
    """A folder of this process; those that killed processes left are removed."""
    for path in folder.glob(".*.stream"):
        if not Path(f"/proc/{path.name.split('.')[1]}").exists():
            shutil.rmtree(path, ignore_errors=True)
    place = folder / f".{os.getpid()}.stream"
    shutil.rmtree(place, ignore_errors=True)
    return place


@contextmanager
def on_disk(folder: Path, need: int) -> Iterator[None]:
    """Raises DataError L260 when the disk is full."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if getattr(error, "errno", None) == 28 or "No space left" in str(error):
            raise no_space(folder, need, shutil.disk_usage(folder).free) from error
        raise


def no_space(folder: Path, need: int, free: int) -> DataError:
    """The error for a disk that is too small."""
    what = tr("not enough disk to prepare the data: about {need} bytes are needed, {free} are free", need=need, free=free)
    return DataError("L260", what, where=str(folder), fix=tr("make room there, put the runs on another disk, or raise training.memory"))


def glimpse(rows: Spool) -> pl.DataFrame:
    """The rows that kinds are guessed from: as evenly spread as `inference` would take them; columns that count the rows left as they do."""
    every = max(1, -(-len(rows) // SAMPLE))
    table = rows.take(np.arange(0, len(rows), every))
    head = rows.take(np.arange(min(len(rows), SAMPLE))) if every > 1 else table
    counting = [name for name in table.columns if every > 1 and is_counting(head[name])]
    return table.with_columns([head[name].head(table.height) for name in counting])


def is_counting(series: pl.Series) -> bool:
    """n, n + 1, n + 2 …"""
    return series.dtype.is_integer() and not series.null_count() and bool((series.diff().drop_nulls() == 1).all())


def build(
    recipe: Recipe, rows: Spool | Held, source: Source, place: Path, room: int, check: Callable[[], None]
) -> tuple[dict[str, Columns], dict[str, Any]]:
    """Split, check, fit, encode; the examples, mapped from files in `place`, and what the store says of them."""
    narrow = [name for name in split_columns(recipe) if name in rows.schema and not rows.schema[name].is_nested()]
    source = replace(source, table=rows.narrow(narrow)) if narrow else source
    parts = whole.parts_of(recipe, source.table, source.splits)
    names = used_columns(recipe, rows.empty())
    sample = sample_of(recipe, source.table, parts, rows.bytes * len(names) / len(rows.schema), room)
    table = rows.take(sample.rows, names)
    kinds = {column: section["kind"] for column, section in recipe.inputs.items()}
    own = columns_of(recipe)
    findings = checks(table, kinds, target_of(recipe), parts[sample.rows], recipe.task["kind"], own=own)
    for finding in findings:
        if not whole.is_known(finding, recipe):
            finding.emit()
    task = recipe.make_task()
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table.filter(pl.Series(parts[sample.rows] == TRAIN))))))
    del table
    memory.trim()
    splits, rejects, reached = encode(task, rows, names, parts, place, source, recipe, check)
    for cut in whole.too_long({column: count / max(1, len(source.table) - len(rejects)) for column, count in reached.items()}, task.state):
        cut.emit()
    examples = {name: arrange(task, columns, parts_are(parts, columns.row, part)) for part, (name, columns) in enumerate(splits.items())}
    if not len(examples["train"]):
        fix = tr("give more rows or smaller shares")
        raise DataError("L220", tr("no rows are left for training"), where="split", received=len(rows), fix=fix)
    left_out = Columns({}, np.zeros(0, np.int64), rejects=tuple(rejects))
    whole.check_rejects(left_out, source, recipe)
    facts = whole.facts_of(recipe, source, source.table, left_out, examples, findings)
    facts |= {} if sample.whole else {"sample": {"rows": len(sample.rows), "of": sample.of}}
    return examples, {
        "facts": facts,
        "state": task.state,
        "inputs": recipe.inputs,
        "target": recipe.target,
        "split": divided_as(recipe),
    }


def split_columns(recipe: Recipe) -> list[str]:
    """Columns that the split and the counts of labels look at."""
    split, target = splitting_of(recipe), target_of(recipe)
    labels = target if split.by == "stratified" or recipe.task["kind"] == "classification" else None
    return [name for name in dict.fromkeys((labels, split.group, split.order, *own_columns(recipe))) if name]


def sample_of(recipe: Recipe, table: pl.DataFrame, parts: np.ndarray, size: float, room: int) -> Sample:
    """All rows where a share of the room holds them; else a keyed, uniform sample, and the first training row of every label."""
    share = room * FIT_SHARE / max(1.0, size)
    if share >= 1 or traits_of(recipe.make_task()).fits_whole:
        return Sample(np.arange(len(parts)), len(parts))
    rows, target = sampled(len(parts), share, key_of(recipe.training.seed + 1, "split")), target_of(recipe)
    if target in table.columns and recipe.task["kind"] == "classification":
        rows = np.union1d(rows, first_of_each(table[target], parts))
    what = tr(
        "{rows} of {of} records are checked and fitted on: more do not fit in the memory allowed",
        rows=f"{len(rows):,}",
        of=f"{len(parts):,}",
    )
    warn("W212", what, where="training.memory", fix=tr("allow more memory if rare words and categories matter"))
    return Sample(rows, len(parts))


def first_of_each(labels: pl.Series, parts: np.ndarray) -> np.ndarray:
    """The first training row of every label; a piece at a time."""
    found = []
    for start in range(0, len(labels), PIECE):
        rows = np.flatnonzero(parts[start : start + PIECE] == TRAIN) + start
        found.append(pl.DataFrame({"label": labels[rows], "row": rows}).unique("label", keep="first"))
    return pl.concat(found).sort("row").unique("label", keep="first")["row"].to_numpy()


def encode(
    task: Any,
    rows: Spool | Held,
    names: list[str],
    parts: np.ndarray,
    place: Path,
    source: Source,
    recipe: Recipe,
    check: Callable[[], None],
) -> tuple[dict[str, Columns], list[Reject], dict[str, int]]:
    """Mapped columns of every split, the rows left out, and how many values of each column reach its `max_length`."""
    grown = [GrowingColumns(place, name) for name in NAMES]
    rejects: list[Reject] = []
    reached: dict[str, int] = {}
    for number, (start, table) in enumerate(rows.tables(names)):
        check()
        columns = task.encode(table).shift(start)
        of_row = parts[columns.row]
        for part, split in enumerate(grown):
            split.append(columns.take(np.flatnonzero(of_row <= part if task.split.context else of_row == part)))
        rejects += columns.rejects
        memory.trim()
        if len(rejects) > recipe.reading.reject_limit * len(rows):
            whole.check_rejects(Columns({}, columns.row, rejects=tuple(rejects)), source, recipe)
        for column, count in whole.reaching(columns, task.state).items():
            reached[column] = reached.get(column, 0) + count
        held_out = pl.Series(parts[start : start + table.height] != TRAIN)
        if number == 0 or held_out.any():
            table.with_row_index(whole.ROW, offset=start).filter(held_out).write_parquet(place / f"raw-{number:06}.parquet")
    return {name: split.close() for name, split in zip(NAMES, grown, strict=True)}, rejects, reached


def parts_are(parts: np.ndarray, rows: np.ndarray, part: int) -> np.ndarray:
    """(N,) which of the rows belong to the split itself."""
    found = parts[rows] == part
    release(rows)
    return found
