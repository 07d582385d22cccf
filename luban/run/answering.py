"""Answers for files larger than memory: block by block, each kept on the disk when it is done, so that the same command goes on after an interruption."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from luban.bundle.format import MANIFEST
from luban.bundle.model import Model
from luban.data.blocks import blocks
from luban.data.readers import suffix_of
from luban.data.source import Part
from luban.data.streaming import EXPANSION
from luban.errors import DataError, say
from luban.files import part_of, write_whole
from luban.messages import tr

LARGE = 300_000_000  # bytes in memory, from which a file is answered in blocks
BLOCK = 16_000_000  # bytes of a block
ASKED = "asked.json"
SAID_EVERY_S = 5.0


def is_large(path: Path) -> bool:
    """Whether a file is better answered in blocks."""
    return path.is_file() and path.stat().st_size * EXPANSION.get(suffix_of(path).removesuffix(".gz"), 0) > LARGE


def answer_file(model: Model, bundle: Path, path: Path, out: Path) -> int | None:
    """Write the answers of a file's rows to `out`; how many, or None for a file that can only be read whole.

    The answers have the columns of the bundle's, `error` for a row that could not be read, and `line`, the row's place in the file.
    Raises DataError L229 where they cannot be written.
    """
    parts = blocks(path, model.reading, BLOCK)
    if parts is None:
        return None
    try:
        folder = workplace(out, identity(bundle, path))
        rows = sum(answered(model, parts, folder))
        together(folder, out)
        shutil.rmtree(folder)
    except OSError as error:
        raise DataError("L229", tr("the answers cannot be written: {why}", why=error.strerror or str(error)), where=str(out)) from error
    return rows


def identity(bundle: Path, path: Path) -> str:
    """What was asked: of which bundle, for which file. Answers kept for anything else are not used."""
    manifest = bundle / MANIFEST if (bundle / MANIFEST).is_file() else bundle / "bundle" / MANIFEST
    status = path.stat()
    known = [hashlib.sha256(manifest.read_bytes()).hexdigest(), str(path.absolute()), status.st_size, status.st_mtime_ns, BLOCK]
    return json.dumps(known)


def workplace(out: Path, asked: str) -> Path:
    """The folder beside `out` where blocks are kept until all are there; emptied where it was for something else."""
    folder = part_of(out)
    if folder.exists() and not ((folder / ASKED).is_file() and (folder / ASKED).read_text(encoding="utf-8") == asked):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ASKED, asked.encode())
    return folder


def answered(model: Model, parts: Iterator[Part], folder: Path) -> Iterator[int]:
    """Rows of each block, once its answers are kept; those that are kept already are not computed again."""
    begun, done, told, fresh = time.monotonic(), 0, time.monotonic(), 0
    for number, part in enumerate(parts):
        place = folder / f"{number:08}.parquet"
        if not place.exists() and part.table.height:
            beside = part_of(place)
            answers_of(model, part).write_parquet(beside)
            beside.replace(place)
            fresh += part.table.height
        done += part.table.height
        yield part.table.height
        if time.monotonic() - told > SAID_EVERY_S:
            told = time.monotonic()
            say(tr("{rows} rows answered, {rate} a second", rows=f"{done:,}", rate=f"{fresh / (told - begun):,.0f}"))


def answers_of(model: Model, part: Part) -> pl.DataFrame:
    """With `error`, and each row's line."""
    answers = model.answers(part.table)
    if "error" not in answers.columns:
        answers = answers.with_columns(pl.lit(None, pl.String).alias("error"))
    return answers.with_columns(pl.Series("line", [part.origin.of(row)[1] for row in range(part.table.height)], pl.Int64))


def together(folder: Path, out: Path) -> None:
    """All blocks as one file, in order, without holding them; whole or absent."""
    kept = sorted(folder.glob("[0-9]*.parquet"))
    frames = [pl.scan_parquet(path) for path in kept]
    whole = pl.concat(frames, how="diagonal_relaxed") if frames else pl.LazyFrame()
    beside = folder / f"whole{out.suffix}"
    if out.suffix.lower() == ".parquet":
        whole.sink_parquet(beside)
    elif out.suffix.lower() == ".jsonl":
        whole.sink_ndjson(beside)
    else:
        flat(whole).sink_csv(beside)
    beside.replace(out)


def flat(answers: Any) -> Any:
    """Chances as columns, lists as text: what csv can hold; of a frame, or of one that is not computed yet."""
    schema = answers.collect_schema()
    if "chances" in schema:
        names = [field.name for field in schema["chances"].fields]
        spread = [pl.col("chances").struct.field(name).alias(f"chances.{name}") for name in names]
        columns = [column for name in schema for column in (spread if name == "chances" else [pl.col(name)])]
        answers = answers.select(columns)
    lists = [name for name, dtype in answers.collect_schema().items() if isinstance(dtype, pl.List)]
    return answers.with_columns(pl.col(name).list.eval(pl.element().cast(pl.String)).list.join("|") for name in lists)
