"""The columns of an event log as arrays: who, what, when, how much; a record that lacks one of them is a reject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Array, Columns, Ragged, Reject
from luban.errors import DataError, shorten
from luban.kinds.date import guess_format, parse
from luban.messages import tr
from luban.recommending import ids
from luban.recommending.examples import ITEM, ITEMS, TIME, USER, WEIGHT

NUMBERS = "number"  # the format of a column of seconds, or of any rising count


@dataclass(frozen=True)
class Names:
    """Which columns say what; "" where there is none."""

    user: str
    item: str
    time: str = ""
    weight: str = ""
    lowest: float | None = None  # of the weights
    highest: float | None = None
    at_least: float | None = None
    described: bool = False  # whether a row without a user describes its item
    presented: bool = False  # whether a row without an item describes its user

    @property
    def all(self) -> dict[str, str]:
        """What it says -> the column."""
        named = {"user": self.user, "item": self.item, "time": self.time, "weight": self.weight}
        return {role: column for role, column in named.items() if column}


def series_of(table: pl.DataFrame, role: str, column: str) -> pl.Series:
    """The column. Raises DataError L201 where it is not there."""
    if column not in table.columns:
        raise DataError("L201", tr("no such column"), where=f"recipe.toml: task.{role}", received=column, allowed=table.columns)
    return table[column]


def time_format(table: pl.DataFrame, names: Names) -> str:
    """How the moments are written; "" without them."""
    if not names.time:
        return ""
    series = series_of(table, "time", names.time)
    return NUMBERS if series.dtype.is_numeric() else guess_format(series)


def encode(table: pl.DataFrame, names: Names, state: dict[str, Any]) -> Columns:
    """One event a row; where the table holds users alone, or lists of items, one question a row. Raises DataError L201, L286."""
    has_user, has_item = names.user in table.columns, names.item in table.columns
    if not has_user and not has_item:
        what = tr("neither the column of users nor that of items is there")
        raise DataError("L286", what, where=f"{names.user}, {names.item}", allowed=table.columns)
    nobody = pl.Series(names.user, [None] * len(table), dtype=pl.String)
    user = ids.encode(table[names.user] if has_user else nobody, state["users"])
    if not has_item or table[names.item].null_count() == len(table):
        return Columns({USER: user}, np.arange(len(table)))
    if isinstance(table[names.item].dtype, pl.List):
        return Columns({USER: user, ITEMS: listed(table[names.item], state)}, np.arange(len(table)))
    columns = Columns({USER: user, ITEM: ids.encode(table[names.item], state["items"])}, np.arange(len(table)))
    faults: dict[int, Reject] = {}
    about = describes(table, names)
    if has_user:
        add(faults, (user == ids.NONE) & ~about, names.user, tr("no user"), table)
    add(faults, (columns[ITEM] == ids.NONE) & ~about, names.item, tr("no item"), table)
    data = dict(columns.data)
    if names.time and names.time in table.columns:
        data[TIME] = when = moments(table[names.time], state["time_format"])
        add(faults, np.isnan(when) & ~about, names.time, tr("no time"), table)
    if names.weight and names.weight in table.columns:
        data[WEIGHT] = weights(table, names, faults, about)
    kept = np.setdiff1d(np.flatnonzero(~about), list(faults))
    out = Columns(data, np.arange(len(table)))
    out = out.take(kept) if len(kept) < len(table) else out
    return Columns(out.data, out.row, rejects=tuple(faults[place] for place in sorted(faults)))


def describes(table: pl.DataFrame, names: Names) -> Array:
    """(N,) rows that say what an item or a user is, not that somebody took it: one of the two, and neither time nor weight."""
    out = np.zeros(len(table), bool)
    if names.user not in table.columns or names.item not in table.columns:
        return out
    missing = {column: table[column].is_null().to_numpy() for column in names.all.values() if column in table.columns}
    silent = np.logical_and.reduce(
        [missing[names.user] | missing[names.item], *(missing[n] for n in (names.time, names.weight) if n in missing)]
    )
    if names.described:
        out |= silent & ~missing[names.item]
    if names.presented:
        out |= silent & ~missing[names.user]
    return out


def add(faults: dict[int, Reject], wrong: Array, column: str, reason: str, table: pl.DataFrame) -> None:
    """Name every row at fault once."""
    for place in np.flatnonzero(wrong).tolist():
        faults.setdefault(place, Reject(place, column, reason, shorten(table[column][place])))


def listed(series: pl.Series, state: dict[str, Any]) -> Ragged:
    """Lists of items as codes; a missing list is an empty one."""
    lengths = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = series.filter(series.list.len().fill_null(0) > 0).explode()
    return Ragged.of(ids.encode(flat, state["items"]), lengths)


def moments(series: pl.Series, layout: str) -> Array:
    """(N,) float64 that rise with time, NaN where there is none."""
    if layout == NUMBERS:
        return series.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    return parse(series, layout).dt.epoch("us").cast(pl.Float64).fill_null(np.nan).to_numpy()


def weights(table: pl.DataFrame, names: Names, faults: dict[int, Reject], about: Array) -> Array:
    """(N,) float32, 0 = seen but not liked."""
    values = table[names.weight].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    low, high = -np.inf if names.lowest is None else names.lowest, np.inf if names.highest is None else names.highest
    add(faults, ~np.isfinite(values) & ~about, names.weight, tr("no weight"), table)
    add(faults, (values < low) | (values > high), names.weight, tr("a weight outside {low} … {high}", low=low, high=high), table)
    if names.at_least is not None:
        return (values >= names.at_least).astype(np.float32)
    return np.maximum(np.nan_to_num(values), 0).astype(np.float32)
