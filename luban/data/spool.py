"""Records on the disk in blocks of columns: a table larger than memory, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from luban.data.blocks import blocks
from luban.data.dtypes import common
from luban.data.evidence import Written
from luban.data.reading import Data, Reading, check_limit, locate, media, open_part, summary, with_split
from luban.data.source import BadRow, Origin, Part, Source
from luban.errors import DataError, say, warn
from luban.messages import tr

FEW_NAMES = 10_000
STUB = "\x00stub"  # no column of a user has this name


@dataclass(frozen=True)
class Block:
    """A file of records, and where they stand in the table."""

    path: Path
    start: int
    rows: int
    file: int  # which of the files read it belongs to
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Spool:
    """All records, typed when they are read."""

    folder: Path
    blocks: list[Block]
    typers: list[dict[str, Written]]  # for each file read, its columns of text
    schema: dict[str, pl.DataType]
    bytes: int  # of all records in memory, about

    def __len__(self) -> int:
        return sum(block.rows for block in self.blocks)

    def empty(self) -> pl.DataFrame:
        """The columns without their rows."""
        return pl.DataFrame(schema=self.schema)

    def read(self, block: Block, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of one block; one that its file lacks is missing."""
        stored = [name for name in names if name in block.columns]
        table = pl.read_ipc(block.path, columns=stored) if stored else pl.DataFrame()
        typers = self.typers[block.file]
        return pl.DataFrame([self.column(table, name, block.rows, typers.get(name)) for name in names])

    def column(self, table: pl.DataFrame, name: str, rows: int, typer: Written | None) -> pl.Series:
        """One column in the type of the whole table."""
        dtype = self.schema[name]
        if name not in table.columns or table[name].null_count() == rows:
            return pl.Series(name, [None], dtype=dtype).new_from_index(0, rows) if rows else pl.Series(name, [], dtype=dtype)
        series = typer.typed(table[name]) if typer else table[name]
        return series if series.dtype == dtype else series.cast(dtype)

    def tables(self, names: Sequence[str] | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The first row and the records of every block."""
        for block in self.blocks:
            yield block.start, self.read(block, list(self.schema) if names is None else names)

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """Whole columns; narrow ones, such as the split looks at."""
        parts = [table for _, table in self.tables(names)]
        return pl.concat(parts) if parts else self.empty().select(names)

    def narrow(self, names: Sequence[str]) -> pl.DataFrame:
        """Whole columns; of text with few different values, a byte or two a row."""
        found = {name: pl.Series(name, [], dtype=pl.String) for name in names if self.schema[name] == pl.String}
        for _, table in self.tables(names):
            for name, known in list(found.items()):
                found[name] = pl.concat([known, table[name]]).drop_nulls().unique()
                if len(found[name]) > FEW_NAMES:
                    del found[name]
        few = {name: pl.Enum(known.sort()) for name, known in found.items()}
        parts = [table.cast(few) for _, table in self.tables(names)]  # type: ignore[arg-type]
        return pl.concat(parts) if parts else self.empty().select(names)

    def take(self, rows: np.ndarray, names: Sequence[str] | None = None) -> pl.DataFrame:
        """Some rows, in the table's order."""
        parts = []
        for start, table in self.tables(names):
            low, high = np.searchsorted(rows, (start, start + table.height))
            if high > low:
                parts.append(alone(table[rows[low:high] - start]))
        return pl.concat(parts) if parts else self.empty().select(list(self.schema) if names is None else names)


def alone(table: pl.DataFrame) -> pl.DataFrame:
    """The same rows by themselves: a few texts picked from many would hold all of them in memory."""
    shared = [series for series in table.get_columns() if series.dtype in (pl.String, pl.Binary) or series.dtype.is_nested()]
    return table.with_columns([pl.Series(series.name, series.to_list(), dtype=series.dtype) for series in shared])


@dataclass(frozen=True)
class Held:
    """A table that fits in memory, read in pieces as a spool is, because what is made of its rows does not."""

    table: pl.DataFrame
    step: int

    def __len__(self) -> int:
        return self.table.height

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The types of the columns."""
        return dict(self.table.schema)

    @property
    def bytes(self) -> int:
        """Of all records."""
        return int(self.table.estimated_size())

    def empty(self) -> pl.DataFrame:
        """The columns without their rows."""
        return self.table.clear()

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """The first row and the records of every piece."""
        for start in range(0, len(self), self.step):
            yield start, self.select(names)[start : start + self.step]

    def select(self, names: Sequence[str]) -> pl.DataFrame:
        """Some columns."""
        return self.table.select(names)

    def narrow(self, names: Sequence[str]) -> pl.DataFrame:
        """Some columns."""
        return self.select(names)

    def take(self, rows: np.ndarray, names: Sequence[str]) -> pl.DataFrame:
        """Some rows."""
        return self.select(names)[rows]


@dataclass
class Writer:
    """Takes in parts, one file after the other."""

    folder: Path
    size: int
    several: bool  # files: then each has evidence of its own too
    blocks: list[Block] = field(default_factory=list)
    own: list[dict[str, Written]] = field(default_factory=list)
    whole: dict[str, Written] = field(default_factory=dict)
    dtypes: list[dict[str, set[pl.DataType]]] = field(default_factory=list)
    written: list[bool] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def begin(self) -> None:
        """Another file."""
        self.own.append({})
        self.dtypes.append({})
        self.written.append(False)

    def add(self, part: Part) -> None:
        """Records of the file begun last."""
        self.written[-1] = self.written[-1] or part.written
        table = part.table
        for series in table.get_columns():
            self.note(series, written=part.written)
        self.bytes += int(table.estimated_size())
        step = max(1, int(table.height * self.size / max(1, table.estimated_size())))
        for start in range(0, table.height, step):
            piece = table[start : start + step]
            path = self.folder / f"{len(self.blocks):06}.arrow"
            piece.write_ipc(path, compression="lz4")
            self.blocks.append(Block(path, self.rows, piece.height, len(self.own) - 1, tuple(table.columns)))
            self.rows += piece.height

    def note(self, series: pl.Series, *, written: bool) -> None:
        """What speaks for and against types of the column."""
        known = self.dtypes[-1].setdefault(series.name, set())
        if written:
            for evidence in (self.whole, self.own[-1]) if self.several else (self.whole,):
                evidence.setdefault(series.name, Written()).see(series)
        elif series.null_count() < len(series):
            known.add(series.dtype)

    def finish(self) -> Spool:
        """Types of all columns. Raises DataError L216 where files disagree."""
        typers = self.own if self.several and not all(self.written) else [self.whole] * len(self.own)
        for typer in [self.whole] if typers and typers[0] is self.whole else typers:
            for name, evidence in typer.items():
                evidence.announce(name)
        found: dict[str, set[pl.DataType]] = {}
        for typer, known in zip(typers, self.dtypes, strict=True):
            for name, dtypes in known.items():
                own = {typer[name].dtype} if name in typer else dtypes
                found.setdefault(name, set()).update(own)
        return Spool(self.folder, self.blocks, typers, {name: widest(name, dtypes) for name, dtypes in found.items()}, self.bytes)


def widest(name: str, dtypes: set[pl.DataType]) -> pl.DataType:
    """The type that holds all of these; lists of numbers hold the wider number. Raises DataError L216."""
    if len(dtypes) > 1 and all(dtype.is_nested() for dtype in dtypes):
        empty = [pl.DataFrame(schema={name: dtype}) for dtype in dtypes]
        try:
            return pl.concat(empty, how="vertical_relaxed").schema[name]
        except pl.exceptions.PolarsError:
            return common(name, dtypes)
    return common(name, dtypes) if dtypes else pl.String()


@dataclass
class Gathered:
    """What is kept of the parts in memory: where the rows came from, and what was left out."""

    origins: list[Origin] = field(default_factory=list)
    rejects: list[BadRow] = field(default_factory=list)
    splits: list[np.ndarray | int] = field(default_factory=list)  # of a part, or how many rows it has none for
    notes: list[str] = field(default_factory=list)
    files: list[tuple[str, Path]] = field(default_factory=list)

    def add(self, part: Part, path: Path, split: str, *, first: bool) -> None:
        """Another part; the first of a file tells what was found in it."""
        part = with_split(part, path, split)
        self.origins.append(part.origin)
        self.rejects += part.rejects
        self.splits.append(part.table.height if part.splits is None else part.splits)
        self.notes += part.notes if first else ()
        self.files += [(split, file) for file in part.files or (path,)] if first else []

    def source(self, rows: int, base: Path) -> Source:
        """Everything but the records; the table is a stub of as many rows."""
        table = pl.select(pl.repeat(0, rows, dtype=pl.Int8).alias(STUB))
        splits = None
        if any(isinstance(part, np.ndarray) for part in self.splits):
            splits = np.concatenate([np.zeros(part, np.int8) if isinstance(part, int) else part for part in self.splits])
        found = summary([Part(table, Origin(()), notes=tuple(self.notes))], table, splits, self.rejects)
        return Source(table, Origin.join(self.origins), self.rejects, splits, found, base, tuple(self.files))


def spool(
    data: Data, options: Reading, folder: Path, size: int, *, base: Path, used: list[str] | None, check: Callable[[], None]
) -> tuple[Spool, Source]:
    """All records the recipe names, and what `reading.read` would find but for the table. Raises as that does."""
    places = locate(data, base.absolute(), whole=options.text == "passage")
    writer, gathered = Writer(folder, size, several=len(places) > 1), Gathered()
    for split, path in places:
        writer.begin()
        for number, part in enumerate(parts_of(path, options, size, used)):
            check()
            writer.add(part)
            gathered.add(part, path, split, first=not number)
    found, source = writer.finish(), gathered.source(writer.rows, base.absolute())
    for number, (_, path) in enumerate(places):
        columns = [block.columns for block in found.blocks if block.file == number]
        if absent := [name for name in found.schema if columns and name not in columns[0]]:
            what = tr("has no column {names}; its rows hold it as missing", names=", ".join(map(repr, absent[:8])))
            warn("W203", what, where=path.name, fix=tr("check that all files have the same columns"))
    say(source.found)
    check_limit(source, options.reject_limit)
    if not writer.rows:
        fix = tr("check that the file was saved and copied whole")
        raise DataError("L214", tr("there is a header but no record"), where=str(data), fix=fix)
    return found, source


def parts_of(path: Path, options: Reading, size: int, used: list[str] | None) -> Iterator[Part]:
    """Blocks of a file, or the whole of what can't be cut. Raises DataError L213."""
    try:
        opened = None if path.is_dir() else blocks(path, options, size)
        if opened is not None:
            yield from opened
            return
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(
            "L213", tr("can't be opened: {why}", why=why), where=str(path), fix=tr("check the rights of the file and its folder")
        ) from error
    yield media(open_part(path, options), path, used)
