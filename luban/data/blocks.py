"""Any file in blocks of records that fit in memory: types and rejects are those of the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban.data import csv_blocks
from luban.data.dtypes import tidy
from luban.data.lines import Lines, open_text
from luban.data.media import medium_of_column
from luban.data.readers import jsonl, reader_for
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, shorten, warn
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading


def blocks(path: Path, options: Reading, size: int) -> Iterator[Part] | None:
    """Parts of about `size` bytes; None for files that can only be read whole: folders, workbooks, lists, tables of media files."""
    cutter = {"csv": csv_blocks.blocks, "jsonl": by_line, "parquet": by_rows}.get(reader_for(path, options.text).name)
    if cutter is None:
        return None
    parts = cutter(path, options, size)
    first = next(parts, None)
    if first is None:
        return None
    if any(first.table.schema[name] == pl.String and medium_of_column(first.table[name]) for name in first.table.columns):
        return None
    return chain([first], parts)


def by_line(path: Path, options: Reading, size: int) -> Iterator[Part]:
    """JSON lines: one pass for names and types, one for the records. Nothing for JSON that is one list."""
    file = open_text(path, options, size)
    if not file.divided:
        return
    if next(file.blocks(size)).text.data.lstrip()[:1] == b"[":
        warn("W213", tr("is one list, which is read whole"), where=path.name, fix=tr("write one record per line (.jsonl)"))
        return
    types: dict[str, set[type]] = {}
    for block in file.blocks(size):
        rows = [record for _, record, _, reason in jsonl.by_line(block.text) if not reason]
        for name in dict.fromkeys(name for row in rows for name in row):
            types[name] = types.get(name, set()) | jsonl.types_of([row.get(name) for row in rows])
    note = tr("{file}: {columns} fields, {encoding}", file=path.name, columns=len(types), encoding=file.encoding.upper())
    for block in file.blocks(size):
        yield replace(json_part(path, block, types), notes=(note,))


def json_part(path: Path, block: Lines, types: dict[str, set[type]]) -> Part:
    """The records of some lines, in the types of all."""
    rejects: list[BadRow] = []
    rows: list[dict[str, Any]] = []
    at: list[int] = []
    for line, record, place, reason in jsonl.by_line(block.text):
        if reason:
            rejects.append(BadRow(str(path), line + block.first - 1, place, reason, shorten(record)))
        else:
            rows.append(record)
            at.append(line + block.first - 1)
    table = tidy(pl.DataFrame([jsonl.column(name, [row.get(name) for row in rows], found) for name, found in types.items()]))
    return Part(table, Origin.lines(path, np.array(at, np.int64)), rejects)


def by_rows(path: Path, options: Reading, size: int) -> Iterator[Part]:
    """Parquet by ranges of rows."""
    if not path.stat().st_size:
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    try:
        yield from ranges(path, size)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        why = str(error).split("\n")[0][:80]
        raise DataError("L204", tr("the file is damaged: {why}", why=why), where=path.name, fix=tr("copy or download it again")) from error


def ranges(path: Path, size: int) -> Iterator[Part]:
    """The rows, about `size` bytes at a time; a struct of media becomes its bytes, or its paths where no row has bytes."""
    scanned = pl.scan_parquet(path, glob=False)
    rows = int(scanned.select(pl.len()).collect().item())
    media = [
        name
        for name, dtype in scanned.collect_schema().items()
        if isinstance(dtype, pl.Struct) and {"bytes", "path"} <= {f.name for f in dtype.fields}
    ]
    parts = {name: "bytes" if has_bytes(scanned, name) else "path" for name in media}
    scanned = scanned.with_columns([pl.col(name).struct.field(part).alias(name) for name, part in parts.items()])
    step = max(1, min(rows, rows * size // max(1, 4 * path.stat().st_size)))
    for start in range(0, max(1, rows), step):
        table = tidy(scanned.slice(start, step).collect())
        note = tr("{file}: {columns} columns", file=path.name, columns=table.width)
        note += tr(", media in {names}", names=", ".join(media)) if media else ""
        yield Part(table, Origin.lines(path, range(start + 1, start + table.height + 1)), notes=(note,))


def has_bytes(scanned: pl.LazyFrame, name: str) -> bool:
    """Whether any row holds the medium itself."""
    inner = pl.col(name).struct.field("bytes")
    return scanned.collect_schema()[name].to_schema()["bytes"] == pl.Binary and bool(  # type: ignore[union-attr]
        scanned.select(inner.is_not_null().any()).collect(engine="streaming").item()
    )
