"""Where every record went: read, rejected by the reader, rejected by a kind, or kept without a target."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Columns
from luban.data.source import BadRow, Source
from luban.messages import tr

MOST_LISTED = 1000


def unlabelled(table: pl.DataFrame, target: str | None) -> np.ndarray:
    """(N,) True where the row has no target: it is missing, or not finite."""
    if target is None or target not in table.columns:
        return np.zeros(table.height, bool)
    known = table[target].is_not_null()
    if table[target].dtype.is_float():
        known &= table[target].is_finite().fill_null(False)
    return ~known.to_numpy()


def rows_without_target(rows: Columns, source: Source, target: str | None, asks: np.ndarray) -> tuple[int, list[dict[str, Any]]]:
    """How many encoded rows that ask have no target, and the first thousand of them with file and line; they count against no limit."""
    places = rows.row[(unlabelled(source.table, target) & asks)[rows.row]]
    reason = tr("no target: the row neither trains nor tests")
    listed = [BadRow(*source.origin.of(int(row)), str(target), reason, record=False) for row in places[:MOST_LISTED]]
    return len(places), [asdict(row) for row in listed]
