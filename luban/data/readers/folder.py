"""A folder of media: class folders, with or without train, validation and test above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.media import medium_of
from luban.data.source import SPLIT_NAMES, BadRow, Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

FOLDER = True
SUFFIXES = ()
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def read(path: Path, options: Reading) -> Part:
    """Columns `image` (or `audio`, `video`) and `label`. Raises DataError L219."""
    files = list(walk(path))
    media = [(file, medium) for file in files if (medium := medium_of(file.name))]
    if not media:
        raise DataError(
            "L219",
            tr("the folder holds no data"),
            where=str(path),
            fix=tr("put one folder per class into it, or give a csv, jsonl, parquet or xlsx file"),
        )
    column = Counter(medium for _, medium in media).most_common(1)[0][0]
    divided = splits_on_top(path, [file for file, _ in media])
    rejects = [BadRow(str(file), 0, "", tr("not an image, a sound or a table"), record=False) for file in files if not medium_of(file.name)]
    rows: list[tuple[str, str | None, int]] = []
    levels = {file: levels_of(file, path, divided) for file, _ in media}
    labelled = any(label for _, label in levels.values())
    for file, medium in media:
        split, label = levels[file]
        if reason := fault(file, medium, column, labelled, label):
            rejects.append(BadRow(str(file), 0, "label" if labelled and label is None else column, reason))
        else:
            rows.append((str(file), label, split))
    table = pl.DataFrame({column: [row[0] for row in rows]}, schema={column: pl.String})
    if labelled:
        table = table.with_columns(pl.Series("label", [row[1] for row in rows], dtype=pl.String))
    splits = np.array([row[2] for row in rows], np.int8) if divided else None
    classes = table["label"].n_unique() if labelled else 0
    note = tr(
        "{folder}: {count} files of {medium} in {classes} class folders", folder=path.name, count=len(rows), medium=column, classes=classes
    )
    return Part(table, Origin.files(table[column]), rejects, splits, files=tuple(Path(row[0]) for row in rows), notes=(note,))


def walk(folder: Path) -> Iterator[Path]:
    """Every file below, sorted; hidden ones and what systems leave behind are passed over."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not skipped(name))
        yield from (Path(place, name).absolute() for name in sorted(names) if not skipped(name))


def skipped(name: str) -> bool:
    """Hidden, or litter."""
    return name.startswith(".") or name.lower() in LITTER


def splits_on_top(folder: Path, files: list[Path]) -> bool:
    """Whether every first folder is a split, one of them for training."""
    root = folder.absolute()
    tops = {parts[0].lower() for file in files if len(parts := file.relative_to(root).parts) > 1}
    return bool(tops) and tops <= set(SPLIT_NAMES) and len({SPLIT_NAMES[top] for top in tops}) > 1


def levels_of(file: Path, folder: Path, divided: bool) -> tuple[int, str | None]:
    """The split and the class a file's place gives it."""
    parts = file.relative_to(folder.absolute()).parts[:-1]
    split = SPLIT_NAMES.get(parts[0].lower(), 0) if divided and parts else 0
    below = parts[1:] if divided else parts
    return split, below[0] if below else None


def fault(file: Path, medium: str, column: str, labelled: bool, label: str | None) -> str:
    """Why a file can't be a record; "" when it can."""
    if medium != column:
        return tr("{medium} in a folder of {column}", medium=medium, column=column)
    if labelled and label is None:
        return tr("stands outside every class folder")
    return "" if file.stat().st_size else tr("the file is empty")
