"""Cells of few rows, read without the machinery for many: handing a handful of cells to a pool of threads takes longer than reading them.

Each function gives what the way for many would give, or None where a cell is such that only that way knows; the tests hold one against the other.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
import polars as pl

MOST = 8  # rows; beyond them the pool pays
MOST_CHARACTERS = 20_000
SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # White_Space of Unicode
PLAIN_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
PLAIN_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LARGEST_WHOLE = 2.0**53
kept: dict[int, tuple[Any, dict[str, int]]] = {}


def strings(series: pl.Series) -> list[str | None] | None:
    """The cells, where they are texts and few."""
    return series.to_list() if len(series) <= MOST and series.dtype in (pl.String, pl.Null) else None


def texts(series: pl.Series) -> list[str] | None:
    """Missing becomes empty."""
    cells = strings(series)
    return None if cells is None else [cell or "" for cell in cells]


def numbers(series: pl.Series, missing: tuple[str, ...]) -> np.ndarray | None:
    """(N,) float64, NaN = missing."""
    if len(series) > MOST:
        return None
    cells = series.to_list()
    if series.dtype == pl.String:
        stripped = [None if cell is None else cell.strip(SPACE) for cell in cells]
        cells = [None if cell is None or cell in missing else cell for cell in stripped]
        if not all(cell is None or PLAIN_NUMBER.fullmatch(cell) for cell in cells):
            return None
    elif series.dtype not in (pl.Float64, pl.Int64, pl.Boolean, pl.Null):
        return None
    return np.array([np.nan if cell is None else float(cell) for cell in cells], np.float64)


def names(series: pl.Series) -> list[str | None] | None:
    """Names as text, blanks as missing."""
    if len(series) > MOST:
        return None
    cells = series.to_list()
    if series.dtype in (pl.String, pl.Null):
        return [(cell.strip(SPACE) or None) if cell is not None else None for cell in cells]
    if series.dtype == pl.Boolean:
        return [None if cell is None else "true" if cell else "false" for cell in cells]
    if series.dtype == pl.Int64:
        return [None if cell is None else str(cell) for cell in cells]
    if series.dtype == pl.Float64 and all(cell is None or (abs(cell) < LARGEST_WHOLE and cell.is_integer()) for cell in cells):
        return [None if cell is None else str(int(cell)) for cell in cells]
    return None


def codes(found: list[str | None], known: Any, *, missing: int, unseen: int) -> np.ndarray:
    """(N,) int32 places in the known names."""
    place = places(known)
    return np.array([missing if name is None else place.get(name, unseen) for name in found], np.int32)


def places(known: Any) -> dict[str, int]:
    """The place of each name; made once for each list of names."""
    found = kept.get(id(known))  # another thread may clear them
    if found is None:
        if len(kept) >= 64:
            kept.clear()
        found = kept[id(known)] = known, {name: place for place, name in enumerate(known)}
    return found[1]


def days(series: pl.Series, layout: str, blank: tuple[str, ...]) -> list[date | None] | None:
    """Days, where they are written year-month-day."""
    cells = strings(series)
    if cells is None or layout not in ("native", "%Y-%m-%d"):
        return None
    stripped = [None if cell is None else cell.strip(SPACE) for cell in cells]
    stripped = [None if cell is None or cell in blank else cell for cell in stripped]
    if not all(cell is None or PLAIN_DAY.fullmatch(cell) for cell in stripped):
        return None
    try:
        return [None if cell is None else date.fromisoformat(cell) for cell in stripped]
    except ValueError:
        return None


def sets(series: pl.Series, separator: str) -> list[list[str] | None] | None:
    """Lists of stripped tags."""
    if len(series) > MOST:
        return None
    cells = series.to_list()
    if series.dtype == pl.List(pl.String):
        return cells
    if series.dtype not in (pl.String, pl.Null) or not separator:
        return None
    parts = [None if cell is None else [part.strip(" '\"") for part in cell.strip("[]() ").split(separator)] for cell in cells]
    return [None if row is None else [part for part in row if part] for row in parts]
