"""RecBole's atomic files: tab-separated, each column named with its type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from luban.data.readers.csv import read as read_csv
from luban.data.source import Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".inter", ".user", ".item")


def read(path: Path, options: Reading) -> Part:
    """Events, users or items. Raises DataError L202, L204 … L209, L288."""
    return named(read_csv(path, replace(options, delimiter="\t", header=True)), path)


def named(part: Part, path: Path) -> Part:
    """The columns by their names alone. Raises DataError L288 for one without a type."""
    names: dict[str, str] = {}
    for column in part.table.columns:
        name, colon, kind = column.rpartition(":")
        if not colon or kind not in ("token", "token_seq", "float", "float_seq"):
            fix = tr("name the columns as RecBole does, `user_id:token`, or save the file as .csv")
            raise DataError("L288", tr("a column of an atomic file has no type"), where=path.name, received=column, fix=fix)
        names[column] = name
    return replace(part, table=part.table.rename(names))
