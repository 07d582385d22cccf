"""Written columns -> typed ones: whole numbers, numbers, yes/no, dates; whatever is mixed stays text.

A type is given only when every value of the whole column has it; numbers written with leading zeros are names, not numbers.
"""

from __future__ import annotations

import polars as pl

from luban.data.evidence import Written
from luban.errors import DataError
from luban.messages import tr


def settle(table: pl.DataFrame) -> pl.DataFrame:
    """The table with each text column in the type all of its values have."""
    return table.with_columns([settle_column(series) for series in table.get_columns() if series.dtype == pl.String])


def settle_column(series: pl.Series) -> pl.Series:
    """One column typed; missing marks become null."""
    evidence = Written()
    evidence.see(series)
    evidence.announce(series.name)
    return evidence.typed(series)


def tidy(table: pl.DataFrame) -> pl.DataFrame:
    """Media structs {bytes, path} become bytes (or paths), other structs a column per field; categories become text, decimals floats."""
    while any(isinstance(dtype, pl.Struct) for dtype in table.dtypes):
        columns: list[pl.Series] = []
        for series in table.get_columns():
            columns += unfold(series) if isinstance(series.dtype, pl.Struct) else [series]
        table = pl.DataFrame(columns)
    plain = {pl.Categorical: pl.String, pl.Enum: pl.String, pl.Null: pl.String, pl.Decimal: pl.Float64}
    return table.with_columns([series.cast(plain[type(series.dtype)]) for series in table.get_columns() if type(series.dtype) in plain])


def unfold(series: pl.Series) -> list[pl.Series]:
    """A struct as one column of media, or as its fields named `column.field`."""
    fields = series.struct.fields
    if set(fields) >= {"bytes", "path"}:
        data = series.struct.field("bytes")
        if data.null_count() < len(data) and data.dtype == pl.Binary:
            return [data.alias(series.name)]
        return [series.struct.field("path").alias(series.name)]
    return [series.struct.field(name).alias(f"{series.name}.{name}") for name in fields]


def join(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """Tables one below the other; a column of two types takes the wider number, or text. Raises DataError L216."""
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    aligned = {name: common(name, {table.schema[name] for table in tables if name in table.columns}) for name in names}
    cast = [
        table.with_columns([pl.col(name).cast(aligned[name]) for name in table.columns if table.schema[name] != aligned[name]])
        for table in tables
    ]
    return pl.concat(cast, how="diagonal", rechunk=False) if len(cast) > 1 else cast[0]


def common(name: str, dtypes: set[pl.DataType]) -> pl.DataType:
    """The type that holds all of these; a column with no values fits any. Raises DataError L216 for lists beside plain values."""
    known = {dtype for dtype in dtypes if dtype != pl.Null}
    if len(known) <= 1:
        return next(iter(known), pl.Null())
    if all(dtype.is_integer() for dtype in known):
        return pl.Int64()
    if all(dtype.is_numeric() for dtype in known):
        return pl.Float64()
    if all(dtype.is_temporal() for dtype in known):
        return pl.Datetime("us")
    if any(dtype.is_nested() or dtype == pl.Binary for dtype in known):
        shown = ", ".join(sorted(map(str, known)))
        raise DataError(
            "L216", tr("the files disagree about this column: {types}", types=shown), where=name, fix=tr("write it alike in all files")
        )
    return pl.String()
