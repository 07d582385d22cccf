"""What the values of a written column have in common, gathered block by block: the type does not depend on how the file was cut."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from luban.errors import say
from luban.messages import tr

MISSING = ("", "NA")
MISSING_NUMBERS = ("N/A", "n/a", "null", "NULL", "None", "?", "-", "#N/A")  # in a column of numbers only; elsewhere they may be names
WHOLE = r"^[+-]?\d{1,18}$"
PADDED = r"^[+-]?0\d"
LONG = r"^[+-]?\d{19,}$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?([nN]a[nN]|NAN|nan|[iI]nf|[iI]nfinity|INF)$"
BOOLEANS = ("true", "false")
DATES = (
    ("%Y-%m-%d", r"^\d{4}-\d{2}-\d{2}$"),
    ("%Y-%m-%d %H:%M:%S%.f", r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"),
    ("%Y-%m-%dT%H:%M:%S%.f", r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"),
)
HEAD = 1000  # values whose shape tells which dates are tried


@dataclass
class Written:
    """The evidence of one column of text; a type is possible until one value speaks against it."""

    seen: int = 0  # values that are not missing
    numbers: bool = True
    some_number: bool = False
    whole: bool = True
    long: bool = False
    booleans: bool = True
    dates: list[str] = field(default_factory=lambda: [layout for layout, _ in DATES])
    marks: int = 0  # missing marks among numbers
    shown: set[str] = field(default_factory=set)

    def see(self, series: pl.Series) -> None:
        """Take in more values."""
        known = blanked(series)[1].drop_nulls()
        head = known.head(max(0, HEAD - self.seen))
        if self.numbers:
            self.see_numbers(known, head)
        if self.booleans:
            self.booleans = all_booleans(head) and all_booleans(known)
        self.dates = [layout for layout, shape in DATES if layout in self.dates and all_dates(known, head, layout, shape)]
        self.seen += len(known)

    def see_numbers(self, known: pl.Series, head: pl.Series) -> None:
        """Whether all are numbers or missing marks, none with leading zeros."""
        if not (head.str.contains(NUMBER) | head.is_in(MISSING_NUMBERS)).all():
            self.numbers = False
            return
        marks = known.is_in(MISSING_NUMBERS)
        if marks.any():
            self.marks += int(marks.sum())
            self.shown |= set(known.filter(marks).unique().to_list())
            known = known.filter(~marks)
        self.numbers = not known.str.contains(PADDED).any() and bool(known.str.contains(NUMBER).all())
        self.some_number |= len(known) > 0
        self.whole = self.whole and bool(known.str.contains(WHOLE).all())
        self.long |= bool(known.str.contains(LONG).any())

    @property
    def dtype(self) -> pl.DataType:
        """The type all values have."""
        if not self.seen:
            return pl.String()
        if self.numbers and self.some_number and (self.whole or not self.long):
            return pl.Int64() if self.whole else pl.Float64()
        if self.booleans:
            return pl.Boolean()
        if self.dates:
            return pl.Date() if "%H" not in self.dates[0] else pl.Datetime("us")
        return pl.String()

    def announce(self, name: str) -> None:
        """Say which marks among numbers are read as missing."""
        if self.marks and self.dtype.is_numeric():
            shown = ", ".join(repr(mark) for mark in sorted(self.shown))
            say(tr("column {name}: {count} values {marks} among numbers are read as missing", name=name, count=self.marks, marks=shown))

    def typed(self, series: pl.Series) -> pl.Series:
        """Values of the column in its type; missing marks become null."""
        series, bare = blanked(series)
        dtype = self.dtype
        if dtype.is_numeric():
            marks = bare.is_in(MISSING_NUMBERS).fill_null(False)
            return (bare.set(marks, None) if marks.any() else bare).str.strip_prefix("+").cast(dtype)
        if dtype == pl.Boolean:
            return (bare.str.to_lowercase() == "true").alias(series.name)
        return series if dtype == pl.String else as_dates(bare, self.dates[0])


def blanked(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The column, and the same without spaces around its values; blanks are null in both."""
    bare = series.str.strip_chars()
    blank = bare.is_in(MISSING)
    return (series.set(blank, None), bare.set(blank, None)) if blank.any() else (series, bare)


def all_booleans(known: pl.Series) -> bool:
    """Whether all say true or false."""
    return bool(known.str.to_lowercase().is_in(BOOLEANS).all())


def all_dates(known: pl.Series, head: pl.Series, layout: str, shape: str) -> bool:
    """Whether the first values have the shape, and all can be read."""
    return bool(head.str.contains(shape).all()) and as_dates(known, layout).null_count() == 0


def as_dates(bare: pl.Series, layout: str) -> pl.Series:
    """Date or Datetime; null where a value is none."""
    if "%H" not in layout:
        return bare.str.to_date(layout, strict=False)
    return bare.str.to_datetime(layout, strict=False, time_unit="us")
