"""number: a measured quantity; missing stays missing, and the model is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
NUM_QUANTILES = 48
LARGEST = 1e30
MISSING = ("", "NA", "N/A", "nan", "NaN", "null", "None", "?", "-")
THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?%?$"  # 1,234,567.8; a comma elsewhere may be a decimal point


class Number:
    """Floats, standardised by the training rows; NaN = missing."""

    occlusion = occluding.NUMBER

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How a number is scaled."""

        scale: Literal["standard", "none"] = "standard"
        """`standard`: minus the mean, over the standard deviation of the training rows; `none`: as it is."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """Mean and spread of the training rows, quantiles of the scaled numbers, whether some are missing."""

        mean: float
        spread: Annotated[float, Gt(0)]
        quantiles: Annotated[tuple[float, ...], MaxLen(NUM_QUANTILES + 1)]
        missing: bool

    @staticmethod
    def fit(series: pl.Series, config: Number.Config) -> Spec:
        """Mean, spread and quantiles of the training rows; infinite values are left out."""
        values, _ = parse(series)
        known = values[np.isfinite(values)]
        mean, spread = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
        standard = config.scale == "standard"
        spec = {"kind": "number", "mean": mean if standard else 0.0, "spread": (spread or 1.0) if standard else 1.0}
        scaled = (known - spec["mean"]) / spec["spread"]
        edges = np.unique(np.quantile(scaled, np.linspace(0, 1, NUM_QUANTILES + 1))) if len(known) else np.zeros(1)
        return spec | {"quantiles": edges.tolist(), "missing": bool(len(known) < len(values))}

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """(N,) float32, scaled; NaN = missing. What is not a number is a fault."""
        values, faults = parse(series)
        values = np.where(np.isfinite(values), values, np.nan)
        return Encoded(((values - spec["mean"]) / spec["spread"]).astype(np.float32), faults)

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B,) float32, NaN = missing."""
        return torch.from_numpy(np.ascontiguousarray(values))

    @staticmethod
    def decode(values: Any, spec: Spec) -> pl.Series:
        """Back to the user's unit."""
        return pl.Series(np.asarray(values, np.float64) * spec["spread"] + spec["mean"])

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Normal numbers, one in seven missing."""
        values = np.random.default_rng(seed).normal(3, 2, count)
        return pl.Series([None if i % 7 == 6 else float(v) for i, v in enumerate(values)], dtype=pl.Float64)


def parse(series: pl.Series) -> tuple[np.ndarray, dict[int, str]]:
    """(N,) float64 with NaN for missing, and the rows that hold something else than a number."""
    if (few_values := few.numbers(series, MISSING)) is not None:
        return within_reach(few_values), {}
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return within_reach(series.cast(pl.Float64).fill_null(np.nan).to_numpy()), {}
    text = series.cast(pl.String).str.strip_chars()
    empty = text.is_null() | text.is_in(MISSING)
    grouped = text.str.contains(THOUSANDS).fill_null(False)
    plain = pl.select(pl.when(grouped).then(text.str.replace_all(",", "")).otherwise(text)).to_series()
    values = plain.str.strip_suffix("%").cast(pl.Float64, strict=False)
    wrong = (values.is_null() & ~empty).to_numpy().nonzero()[0]
    faults = {int(i): tr("not a number: {value}", value=repr(text[int(i)])[:60]) for i in wrong}
    return within_reach(values.fill_null(np.nan).to_numpy()), faults


def within_reach(values: np.ndarray) -> np.ndarray:
    """What is too large to be squared is no measurement: missing."""
    return np.where(np.abs(values) <= LARGEST, values, np.nan)
