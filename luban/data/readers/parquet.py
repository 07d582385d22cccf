"""Parquet, also as Hugging Face writes it: images and sounds as a struct of bytes and path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from luban.data.dtypes import tidy
from luban.data.source import Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".parquet", ".pq")


def read(path: Path, options: Reading) -> Part:
    """All rows. Raises DataError L202, L204."""
    if not path.stat().st_size:
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    try:
        raw = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        why = str(error).split("\n")[0][:80]
        raise DataError("L204", tr("the file is damaged: {why}", why=why), where=path.name, fix=tr("copy or download it again")) from error
    media = [
        name for name, dtype in raw.schema.items() if isinstance(dtype, pl.Struct) and {"bytes", "path"} <= {f.name for f in dtype.fields}
    ]
    table = tidy(raw)
    note = tr("{file}: {columns} columns", file=path.name, columns=table.width)
    if media:
        note += tr(", media in {names}", names=", ".join(media))
    return Part(table, Origin.lines(path, range(1, table.height + 1)), notes=(note,))
