"""Written columns -> typed ones: whole numbers, numbers, yes/no, dates; whatever is mixed stays text.

A type is given only when every value of the whole column has it; numbers written with leading zeros are names, not numbers.
"""

from __future__ import annotations

import polars as pl

from luban.errors import DataError, say
from luban.messages import tr

MISSING = ("", "NA")
MISSING_NUMBERS = ("N/A", "n/a", "null", "NULL", "None", "?", "-", "#N/A")  # in a column of numbers only; elsewhere they may be names
WHOLE = r"^[+-]?\d{1,18}$"
PADDED = r"^[+-]?0\d"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?([nN]a[nN]|NAN|nan|[iI]nf|[iI]nfinity|INF)$"
BOOLEANS = ("true", "false")
DATES = (
    ("%Y-%m-%d", r"^\d{4}-\d{2}-\d{2}$"),
    ("%Y-%m-%d %H:%M:%S%.f", r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"),
    ("%Y-%m-%dT%H:%M:%S%.f", r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"),
)
HEAD = 1000


def settle(table: pl.DataFrame) -> pl.DataFrame:
    """The table with each text column in the type all of its values have."""
    return table.with_columns([settle_column(series) for series in table.get_columns() if series.dtype == pl.String])


def settle_column(series: pl.Series) -> pl.Series:
    """One column typed; missing marks become null."""
    bare = series.str.strip_chars()
    blank = bare.is_in(MISSING)
    if blank.any():
        series, bare = series.set(blank, None), bare.set(blank, None)
    head = bare.drop_nulls().head(HEAD)
    if not len(head):
        return series
    numbers = as_numbers(bare, head)
    if numbers is not None:
        return numbers
    if head.str.to_lowercase().is_in(BOOLEANS).all():
        lower = bare.str.to_lowercase()
        return series if not lower.is_in(BOOLEANS).all() else (lower == "true").alias(series.name)
    dates = as_dates(bare, head)
    return series if dates is None else dates


def as_numbers(bare: pl.Series, head: pl.Series) -> pl.Series | None:
    """Int64 or Float64 where every value is a number without leading zeros, else None."""
    number = head.str.contains(NUMBER) | head.is_in(MISSING_NUMBERS)
    if not number.all():
        return None
    marks = bare.is_in(MISSING_NUMBERS).fill_null(False)
    known = bare.set(marks, None) if marks.any() else bare
    if known.null_count() == len(known) or known.str.contains(PADDED).any():
        return None
    if not known.str.contains(NUMBER).all():
        return None
    whole = bool(known.str.contains(WHOLE).all())
    if not whole and known.str.contains(r"^[+-]?\d{19,}$").any():
        return None
    if marks.any():
        shown = ", ".join(repr(mark) for mark in bare.filter(marks).unique().sort().to_list())
        say(
            tr(
                "column {name}: {count} values {marks} among numbers are read as missing",
                name=bare.name,
                count=int(marks.sum()),
                marks=shown,
            )
        )
    return known.str.strip_prefix("+").cast(pl.Int64 if whole else pl.Float64)


def as_dates(bare: pl.Series, head: pl.Series) -> pl.Series | None:
    """Date or Datetime where every value is an ISO date, else None."""
    for layout, shape in DATES:
        if not head.str.contains(shape).all():
            continue
        dates = bare.str.to_date(layout, strict=False) if "%H" not in layout else bare.str.to_datetime(layout, strict=False, time_unit="us")
        return dates if dates.null_count() == bare.null_count() else None
    return None


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
