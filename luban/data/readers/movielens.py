"""MovieLens' own files: u.data, ratings.dat, movies.dat and users.dat, which name no columns; ratings.csv is read as any csv."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from luban.data.encoding import load
from luban.data.readers.csv import by_record, by_span, scan
from luban.data.source import Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".data", ".dat")
RATINGS = ("user_id", "item_id", "rating", "timestamp")
NAMES = {
    "u.data": RATINGS,
    "ratings.dat": RATINGS,
    "movies.dat": ("item_id", "title", "genres"),
    "users.dat": ("user_id", "gender", "age", "occupation", "zip_code"),
}


def read(path: Path, options: Reading) -> Part:
    """Records as text columns. Raises DataError L202, L204 … L207, L290."""
    names = NAMES.get(path.name.lower())
    if names is None:
        fix = tr("save it as csv with a first line that names the columns")
        raise DataError("L290", tr("this is none of the files of MovieLens"), where=path.name, allowed=NAMES, fix=fix)
    text = load(path, replace(options, encoding=options.encoding or ("latin-1" if path.suffix == ".dat" else None)))
    if path.suffix.lower() == ".dat":
        text = replace(text, data=text.data.replace(b"::", b"\t"))
    plain = replace(options, header=False, delimiter="\t")
    layout = scan(text.data, ord("\t"))
    if layout is None:
        return by_record(text, path, list(names), "\t", 0, plain)
    return by_span(text, path, list(names), "\t", layout, plain)
