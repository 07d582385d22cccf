"""A recipe's `data` -> one source: a file, a folder, a glob, a list, or {train = …, validation = …, test = …}."""

from __future__ import annotations

import glob as globbing
from collections.abc import Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from luban.data.dtypes import join, settle
from luban.data.media import medium_of_column, resolve
from luban.data.readers import reader_for, suffix_of
from luban.data.readers.parallel import sides
from luban.data.source import SPLIT_NAMES, SPLITS, BadRow, Origin, Part, Source
from luban.errors import DataError, RecipeError, say, shorten, warn
from luban.messages import tr

Data = str | list[str] | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read. Everything is found out when left out."""

    encoding: str | None = None
    """Of text files, such as `utf-8`, `gb18030`, `utf-16`, `latin-1`; left out: byte order mark, UTF-8, then GB18030 with a notice."""
    delimiter: str | None = None
    """One character between the fields of a csv; left out, the one of , ; tab | that cuts the first records alike."""
    header: bool = True
    """Whether the first line names the columns; without, they are `column_1`, `column_2` …"""
    sheet: str | None = None
    """Of a workbook; left out, the first."""
    reject_limit: float = 0.01
    """0 … 1, the share of records that may be left out before reading is an error; each one is listed either way."""
    text: Literal["table", "file", "paragraph", "line", "passage"] | None = None
    """How `.txt` is read: as a `table` like csv, or as plain text of which each `file`, `paragraph` or `line` is a document; or cut into each
    `passage` with its source, `.md` and `.html` too. Left out, as the task has it: a table, of language models a file, of answers from documents
    a passage."""
    max_unpacked: int = 4_000_000_000
    """Bytes that a compressed file (gz, xlsx) may unpack to."""

    def __post_init__(self) -> None:
        """Raises RecipeError L120 for a delimiter of several characters or a share outside 0 … 1."""
        if self.delimiter is not None and (len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n'):
            raise RecipeError(
                "L120",
                tr("a delimiter is one ASCII character"),
                where="recipe.toml: reading.delimiter",
                received=self.delimiter,
                fix='delimiter = "\\t"',
            )
        if not 0 <= self.reject_limit <= 1:
            raise RecipeError(
                "L120",
                tr("a share lies in 0 … 1"),
                where="recipe.toml: reading.reject_limit",
                received=self.reject_limit,
                fix="reject_limit = 0.01",
            )


def read(data: Data, options: Reading | None = None, *, base: Path | None = None, used: Collection[str] | None = None) -> Source:
    """Everything the recipe's `data` names, relative to `base`. Raises DataError L200 - L216, RecipeError L121.

    `used` are the columns whose media files must be there; left out, every column that holds paths.
    """
    options, base = options or Reading(), (base or Path()).absolute()
    parts, files = [], []
    for split, path in locate(data, base, whole=options.text == "passage"):
        part = open_part(path, options)
        parts.append(media(with_split(part, path, split), path, used))
        files += [(split, file) for file in part.files or (path,)]
    table, splits = together(parts)
    rejects = [row for part in parts for row in part.rejects]
    found = summary(parts, table, splits, rejects)
    source = Source(table, Origin.join([part.origin for part in parts]), rejects, splits, found, base, tuple(files))
    say(found)
    check_limit(source, options.reject_limit)
    if not table.height:
        raise DataError(
            "L214", tr("there is a header but no record"), where=str(data), fix=tr("check that the file was saved and copied whole")
        )
    return source


def open_part(path: Path, options: Reading) -> Part:
    """What the path's reader finds. Raises DataError L213 when the system refuses the file."""
    try:
        return reader_for(path, options.text).load()(path, options)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(
            "L213", tr("can't be opened: {why}", why=why), where=str(path), fix=tr("check the rights of the file and its folder")
        ) from error


def locate(data: Data, base: Path, *, whole: bool = False) -> list[tuple[str, Path]]:
    """Split name ("" = not said) and file of everything named; `whole`: a folder is one thing, whatever tables lie in it.

    Raises DataError L200, L219, RecipeError L121.
    """
    if isinstance(data, dict):
        if unknown := [name for name in data if name.lower() not in SPLIT_NAMES]:
            raise RecipeError(
                "L121",
                tr("data is divided into train, validation and test"),
                where="recipe.toml: data",
                received=unknown[0],
                allowed=SPLITS,
                fix='data = {train = "a.csv", test = "b.csv"}',
            )
        if not any(SPLIT_NAMES[name.lower()] == 0 for name in data):
            raise RecipeError(
                "L121",
                tr("data has no part named train"),
                where="recipe.toml: data",
                allowed=SPLITS,
                fix='data = {train = "a.csv", test = "b.csv"}',
            )
        order = sorted(data, key=lambda name: SPLIT_NAMES[name.lower()])
        return [(SPLITS[SPLIT_NAMES[name.lower()]], path) for name in order for _, path in locate(data[name], base, whole=whole)]
    if isinstance(data, list):
        if not data:
            raise DataError("L200", tr("data names no file"), where="recipe.toml: data", fix=tr("name a file, a folder or a pattern"))
        return [pair for item in data for pair in locate(item, base, whole=whole)]
    path = Path(data).expanduser()
    path = path if path.is_absolute() else base / path
    if path.is_dir():
        return ([] if whole else tables_in(path)) or [("", path)]
    if path.is_file():
        return [("", path)]
    if files := sides(path):
        if lost := next((file for file in files.values() if not file.is_file()), None):
            raise missing(lost, lost.name)
        return [("", path)]
    if globbing.has_magic(data):
        if found := sorted(name for name in globbing.glob(str(path), recursive=True) if not Path(name).name.startswith(".")):
            return [
                pair
                for name in found
                for pair in (tables_in(Path(name)) or [("", Path(name))] if Path(name).is_dir() else [("", Path(name))])
            ]
        raise DataError(
            "L200", tr("no file matches the pattern"), where=str(base), received=data, fix=tr("quote the pattern and check the folder")
        )
    raise missing(path, data)


def tables_in(folder: Path) -> list[tuple[str, Path]]:
    """Tables directly in a folder, divided where all are named after splits: train.parquet, test.parquet."""
    tables = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".") and suffix_of(path)]
    tables = [path for path in tables if path.suffix.lower() != ".txt"] or (
        [] if any(child.is_dir() for child in folder.iterdir()) else tables
    )
    named = [split_in_name(path) for path in tables]
    if tables and None not in named and "train" in named:
        return sorted(
            ((str(split), path) for split, path in zip(named, tables, strict=True)), key=lambda pair: (SPLITS.index(pair[0]), pair[1])
        )
    return [("", path) for path in tables]


def split_in_name(path: Path) -> str | None:
    """`train` of `train.csv`, `train-00000-of-00002.parquet`."""
    stem = path.name[: len(path.name) - len(suffix_of(path))].lower()
    word = stem.replace("_", "-").split("-")[0]
    return SPLITS[SPLIT_NAMES[word]] if word in SPLIT_NAMES else None


def missing(path: Path, asked: str) -> DataError:
    """The error for a file that is not there, with the nearest name that is."""
    folder = path.parent
    if not folder.is_dir():
        return DataError(
            "L200", tr("no such file or folder"), where=str(path), fix=tr("the folder {folder} does not exist either", folder=folder)
        )
    names = sorted(child.name for child in folder.iterdir() if not child.name.startswith("."))
    near = get_close_matches(path.name, names, n=3, cutoff=0.4)
    return DataError(
        "L200",
        tr("no such file or folder"),
        where=str(folder),
        received=path.name,
        allowed=near or names[:8],
        fix=tr("paths are seen from the recipe's folder: {asked}", asked=asked),
    )


def with_split(part: Part, path: Path, split: str) -> Part:
    """The part's rows marked with the split the recipe or the file's name gives."""
    if not split:
        return part
    return replace(part, splits=np.full(part.table.height, SPLITS.index(split), np.int8))


def media(part: Part, path: Path, used: Collection[str] | None) -> Part:
    """Columns of media paths made absolute; rows whose file is missing are left out and named."""
    if path.is_dir():
        return part
    for name in [
        column for column in part.table.columns if part.table.schema[column] == pl.String and medium_of_column(part.table[column])
    ]:
        asked = part.table[name]
        table, faults = resolve(part.table, name, path.parent)
        if used is None and len(faults) == asked.len() - asked.null_count():
            warn(
                "W206",
                tr("holds names of files, and none of them is there; kept as text"),
                where=f"{path.name}: {name}",
                fix=tr("put the files beside {file} if you need them", file=path.name),
            )
            continue
        if used is not None and name not in used:
            continue
        lost = [BadRow(*part.origin.of(row), name, reason, shorten(asked[row])) for row, reason in faults.items()]
        mask = np.ones(table.height, bool)
        mask[list(faults)] = False
        files = tuple(Path(file) for file in table[name].filter(pl.Series(mask)).drop_nulls().unique(maintain_order=True).to_list())
        part = replace(
            part,
            table=table.filter(pl.Series(mask)) if faults else table,
            origin=part.origin.keep(mask),
            rejects=part.rejects + lost,
            splits=None if part.splits is None else part.splits[mask],
            files=(*(part.files or (path,)), *files),
        )
    return part


def together(parts: list[Part]) -> tuple[pl.DataFrame, np.ndarray | None]:
    """One table; text columns are typed once all parts are known, so that train and test agree."""
    if all(part.written for part in parts):
        table = settle(join([part.table for part in parts]))
    else:
        table = join([settle(part.table) if part.written else part.table for part in parts])
    for part in parts:
        absent = [name for name in table.columns if name not in part.table.columns]
        if absent and part.table.height and shares(part, parts):
            warn(
                "W203",
                tr("has no column {names}; its rows hold it as missing", names=", ".join(map(repr, absent[:8]))),
                where=Path(part.origin.of(0)[0]).name,
                fix=tr("check that all files have the same columns"),
            )
    if all(part.splits is None for part in parts):
        return table, None
    return table, np.concatenate([np.zeros(part.table.height, np.int8) if part.splits is None else part.splits for part in parts])


def shares(part: Part, parts: list[Part]) -> bool:
    """Whether another part has half of its columns or more; documents and the questions about them are rows of two kinds."""
    columns = {*part.table.columns}
    return any(2 * len(columns & {*other.table.columns}) >= min(len(columns), other.table.width) for other in parts if other is not part)


def summary(parts: list[Part], table: pl.DataFrame, splits: np.ndarray | None, rejects: list[BadRow]) -> str:
    """What was found, in one line."""
    notes = [note for part in parts for note in part.notes]
    line = "; ".join(notes[:4]) + ("; …" if len(notes) > 4 else "")
    line += tr("; {rows} records", rows=f"{table.height:,}")
    if splits is not None:
        counts = np.bincount(splits, minlength=3)
        line += tr(
            " (train {train}, validation {validation}, test {test})",
            train=f"{counts[0]:,}",
            validation=f"{counts[1]:,}",
            test=f"{counts[2]:,}",
        )
    if rejects:
        line += tr(", {count} left out", count=f"{len(rejects):,}")
    return line


def check_limit(source: Source, limit: float) -> None:
    """Too many records left out is an error, a few a warning. Raises DataError L215."""
    lost = [row for row in source.rejects if row.record]
    others = len(source.rejects) - len(lost)
    if others:
        warn(
            "W204",
            tr(
                "{count} files are no data and are passed over, the first: {file}",
                count=others,
                file=next(Path(r.file).name for r in source.rejects if not r.record),
            ),
            fix=tr("`luban check` lists them"),
        )
    if not lost:
        return
    first = lost[0]
    where = f"{Path(first.file).name}:{first.line}" + (f": {first.column}" if first.column else "")
    share = len(lost) / (len(lost) + source.table.height)
    what = tr("{count} records ({share}) can't be read; the first: {reason}", count=len(lost), share=f"{share:.2%}", reason=first.reason)
    if share > limit:
        raise DataError(
            "L215",
            what,
            where=where,
            received=first.received or None,
            fix=tr("repair them, or raise reject_limit (now {limit}) under [reading]", limit=limit),
        )
    warn("W205", what, where=where, fix=tr("they are left out; `luban check` lists them"))
