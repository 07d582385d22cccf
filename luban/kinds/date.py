"""date: a day or an instant, as the cycles a calendar has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, MaxLen
from torch import Tensor

from luban import few, occluding
from luban.kinds import Encoded, Spec
from luban.messages import tr

if TYPE_CHECKING:
    from luban.draw import Draw

ENCODER = "mlp"
NUM_FEATURES = 9
BLANK = ("", "NA", "null", "None")
EPOCH = date(1970, 1, 1)
FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%Y%m%d", "%Y年%m月%d日", "%Y.%m.%d",
)  # fmt: skip
ISO = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")


class Date:
    """(N, 9) features: time since the first training day, and sine and cosine of year, week, month and day."""

    occlusion = occluding.DATE

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How dates are written."""

        format: Annotated[str, MaxLen(64)] | None = None
        """As in strptime, such as `%d.%m.%Y`; left out, the format that reads most training rows."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """The format, and the span of the training rows."""

        format: Annotated[str, MaxLen(64)]
        first_day: float
        span_days: Annotated[float, Gt(0)]

    @staticmethod
    def fit(series: pl.Series, config: Date.Config) -> Spec:
        """The format, and the span of the training rows in days."""
        layout = config.format or guess_format(series)
        days = parse(series, layout).dt.epoch("s").drop_nulls().to_numpy() / 86_400
        first, span = (float(days.min()), float(days.max() - days.min())) if len(days) else (0.0, 1.0)
        return {"kind": "date", "format": layout, "first_day": first, "span_days": span or 1.0}

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """(N, 9) float32, NaN = missing; what is not a date is a fault."""
        if (days := few.days(series, spec["format"], BLANK)) is not None:
            return Encoded(of_days(days, spec), {})
        instants = parse(series, spec["format"])
        wrong = (instants.is_null() & ~is_blank(series)).to_numpy().nonzero()[0]
        faults = {int(i): tr("not a date as {format}: {value}", format=spec["format"], value=repr(series[int(i)])[:40]) for i in wrong}
        return Encoded(features(instants, spec), faults)

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, 9) float32, NaN = missing."""
        return torch.from_numpy(np.ascontiguousarray(values))

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Days of 2024, one in five missing."""
        days = np.random.default_rng(seed).integers(0, 366, count)
        dates = pl.Series(np.datetime64("2024-01-01") + days).cast(pl.Date).cast(pl.String).to_list()
        return pl.Series([None if i % 5 == 4 else d for i, d in enumerate(dates)], dtype=pl.String)


def features(instants: pl.Series, spec: Spec) -> np.ndarray:
    """(N, 9): linear time, then sine and cosine of four cycles."""
    seconds = instants.dt.epoch("s").cast(pl.Float64).fill_null(np.nan).to_numpy()
    parts = (instants.dt.ordinal_day(), instants.dt.weekday(), instants.dt.day())
    return waves_of(spec, [seconds, *(part.cast(pl.Float64).fill_null(np.nan).to_numpy() for part in parts)])


def of_days(days: list[date | None], spec: Spec) -> np.ndarray:
    """The same of few days."""
    parts = [(np.nan,) * 4 if d is None else ((d - EPOCH).days * 86_400.0, d.timetuple().tm_yday, d.isoweekday(), d.day) for d in days]
    return waves_of(spec, list(np.array(parts, np.float64).reshape(-1, 4).T))


def waves_of(spec: Spec, parts: list[np.ndarray]) -> np.ndarray:
    """(N, 9) from seconds since 1970, day of the year, of the week and of the month, (N,) each."""
    seconds, day_of_year, weekday, day = parts
    days = seconds / 86_400
    turns = (day_of_year / 365.25, weekday / 7, day / 31, days % 1)
    linear = 2 * (days - spec["first_day"]) / spec["span_days"] - 1
    waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
    return np.stack([linear, *waves], axis=1).astype(np.float32)


def guess_format(series: pl.Series) -> str:
    """`native` for date columns, else the format that reads most rows."""
    if series.dtype.is_temporal():
        return "native"
    head = series.drop_nulls().head(2000)
    return max(FORMATS, key=lambda layout: parse(head, layout).is_not_null().sum())


def parse(series: pl.Series, layout: str) -> pl.Series:
    """Instants in microseconds; null where the text does not follow the format."""
    if series.dtype.is_temporal():
        return series.cast(pl.Datetime("us"))
    text = series.cast(pl.String).str.strip_chars()
    if layout == "native":  # a date column comes back as text in JSON
        tried = [follow(text, known) for known in ISO]
        return pl.select(pl.coalesce(tried)).to_series()
    return follow(text, layout)


def follow(text: pl.Series, layout: str) -> pl.Series:
    """Instants of the texts in this format."""
    if "%H" not in layout:
        return text.str.to_date(layout, strict=False).cast(pl.Datetime("us"))
    return text.str.to_datetime(layout, strict=False, time_unit="us").dt.replace_time_zone(None)


def is_blank(series: pl.Series) -> pl.Series:
    """Missing, or written as nothing."""
    if series.dtype.is_temporal():
        return series.is_null()
    return series.is_null() | series.cast(pl.String).str.strip_chars().is_in(BLANK)
