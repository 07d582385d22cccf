"""Parallel text: `corpus.{en,zh}` names two files or more that say the same line by line; a column for each, named by what differs.

Only the end of line divides; nothing but lines that are empty on every side is passed over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.encoding import load
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = ()  # it is known by its braces
BRACES = re.compile(r"\{([^{}/,]+(?:,[^{}/,]+)+)\}")


def sides(path: Path) -> dict[str, Path]:
    """`corpus.{en,zh}` -> {"en": corpus.en, "zh": corpus.zh}; empty for any other name."""
    found = BRACES.search(path.name)
    if not found:
        return {}
    return {
        part.strip(): path.with_name(path.name[: found.start()] + part.strip() + path.name[found.end() :]) for part in found[1].split(",")
    }


def read(path: Path, options: Reading) -> Part:
    """One row a line. Raises DataError L202, L204 … L207, L297 where one file has more lines than another."""
    columns, rejects, bad, files = {}, [], set(), sides(path)
    for name, file in files.items():
        text = load(file, options)
        columns[name] = text.data.decode().removesuffix("\n").split("\n")
        rejects += [BadRow(str(file), line, name, reason) for line, reason in sorted(text.bad.items())]
        bad |= set(text.bad)
    counts = {name: len(lines) for name, lines in columns.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{files[name].name}: {count:,}" for name, count in counts.items())
        fix = tr("line n of one must say what line n of the other says: find where they part, or align them again")
        raise DataError("L297", tr("the files have different numbers of lines"), where=path.name, received=said, fix=fix)
    lines = np.arange(1, next(iter(counts.values())) + 1)
    blank = ~np.array([[bool(line.strip()) for line in column] for column in columns.values()]).any(0)
    rejects += [BadRow(str(path), int(line), "", tr("empty on every side"), record=False) for line in lines[blank]]
    kept = ~blank & ~np.isin(lines, list(bad))
    table = pl.DataFrame({name: pl.Series(name, column, dtype=pl.String).str.strip_chars(" \t\r") for name, column in columns.items()})
    note = tr("{file}: {count} lines in {columns}", file=path.name, count=f"{len(lines):,}", columns=", ".join(columns))
    first = next(iter(files.values()))
    return Part(table.filter(pl.Series(kept)), Origin.lines(first, lines[kept]), rejects, files=tuple(files.values()), notes=(note,))
