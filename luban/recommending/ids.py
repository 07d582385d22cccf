"""Names of users and items as codes 0 … N - 1; a name that training never saw is a negative hash of itself.

The table of names is kept in the state, sorted and packed, so that ten million ids stay within a bundle's limits. N names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from annotated_types import Ge, Le

from luban.bounded import deflated, inflated
from luban.columns import Array
from luban.errors import DataError
from luban.messages import tr
from luban.schema import validate

NONE = -1  # no name at all
MOST_BYTES = 4_000_000_000  # of names, unpacked
MOST_NAMES = 2**31 - 1
Packed = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a packed table of names holds."""

    kind: Literal["int", "text"]
    count: Annotated[int, Ge(1), Le(MOST_NAMES)]
    size: Annotated[int, Ge(0), Le(MOST_BYTES)]
    packed: str


def as_ids(series: pl.Series) -> pl.Series:
    """Whole numbers as Int64, whatever else as text; NaN and null are missing."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.drop_nulls()
        if len(whole) and bool(((whole == whole.floor()) & (whole.abs() < 2**53)).all()):
            return series.cast(pl.Int64)
    if series.dtype.is_integer() and series.dtype != pl.UInt64:
        return series.cast(pl.Int64)
    return series if series.dtype == pl.String else series.cast(pl.String)


def fit(series: pl.Series) -> Packed:
    """The sorted distinct names, packed. Raises DataError L285 where there is none."""
    ids = as_ids(series).drop_nulls().unique().sort()
    if not len(ids):
        raise DataError("L285", tr("no training row has an id"), where=series.name, fix=tr("check the column's name in the recipe"))
    if ids.dtype == pl.Int64:
        raw = np.diff(ids.to_numpy(), prepend=np.int64(0)).astype("<i8").tobytes()
        return packed("int", len(ids), raw)
    return packed("text", len(ids), "\0".join(name.replace("\0", "") for name in ids.to_list()).encode())


def packed(kind: str, count: int, raw: bytes) -> Packed:
    """JSON: the bytes deflated and written in base64."""
    return {"kind": kind, "count": count, "size": len(raw), "packed": deflated(raw)}


def names_of(spec: Packed) -> pl.Series:
    """(N,) the names, rising. Raises ValueError for a table that is none."""
    return table(spec["kind"], spec["count"], spec["size"], spec["packed"])


@lru_cache(maxsize=8)
def table(kind: str, count: int, size: int, text: str) -> pl.Series:
    """The names; kept, because they are looked up again and again."""
    raw = inflated(text, size)
    if kind == "int":
        names = pl.Series(np.cumsum(np.frombuffer(raw, "<i8")), dtype=pl.Int64)
    else:
        names = pl.Series(raw.decode().split("\0"), dtype=pl.String)
    if len(names) != count or names.n_unique() != count or not names.is_sorted():
        raise ValueError(tr("a packed table of names is not sorted, or of another length than it says"))
    return names


def check(spec: Any, where: str) -> None:
    """Hold a table from a stranger against what tables are. Raises RecipeError L104 … L106, ValueError."""
    validate(Fitted, spec, where=where)
    names_of(spec)


def encode(series: pl.Series, spec: Packed) -> Array:
    """(rows,) int64: the code, below -1 for a name that training never saw, -1 for none."""
    ids, names = as_ids(series), names_of(spec)
    wanted = ids.cast(names.dtype, strict=False) if ids.dtype != names.dtype else ids
    if names.dtype == pl.Int64:
        values, known = wanted.fill_null(0).to_numpy(), names.to_numpy()
        place = np.searchsorted(known, values)
        code = np.where(known[np.minimum(place, len(known) - 1)] == values, place, NONE)
        code = np.where(wanted.is_null().to_numpy(), NONE, code)
    else:
        code = wanted.cast(pl.Enum(names), strict=False).to_physical().cast(pl.Int64).fill_null(NONE).to_numpy()
    strange = (code == NONE) & ids.is_not_null().to_numpy()
    return np.where(strange, hashed(ids), code).astype(np.int64) if strange.any() else code.astype(np.int64)


def hashed(ids: pl.Series) -> Array:
    """(rows,) below -1, equal for equal names."""
    return -2 - (ids.cast(pl.String).fill_null("").hash(seed=0).to_numpy() >> np.uint64(2)).astype(np.int64)


def decode(codes: Array, spec: Packed) -> list[Any]:
    """The names of some codes, None below 0."""
    names = names_of(spec)
    found = names.gather(np.maximum(codes, 0).reshape(-1)).to_list() if codes.size else []
    return [name if code >= 0 else None for name, code in zip(found, codes.reshape(-1).tolist(), strict=True)]


def pack_numbers(values: Array) -> str:
    """An array of small whole numbers as text."""
    return deflated(np.ascontiguousarray(values.astype("<i4")).tobytes())


@lru_cache(maxsize=8)
def numbers(text: str, count: int) -> Array:
    """(count,) int32 again. Raises ValueError for what is not such."""
    return np.frombuffer(inflated(text, 4 * count), "<i4")
