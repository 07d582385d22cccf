"""series: steps × numbers in one cell: a sensor's reading, frames of a sound, a spectrum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Le
from torch import Tensor

from luban import occluding
from luban.columns import Ragged
from luban.errors import DataError
from luban.kinds import Encoded, Spec
from luban.messages import tr

if TYPE_CHECKING:
    from luban.draw import Draw

ENCODER = "lstm"
Length = Annotated[int, Gt(0), Le(65_536)]
Numbers = tuple[float, ...]
LARGEST = 1e30  # what is larger is no measurement


class Series:
    """Ragged (steps, numbers), standardised per number; NaN on steps beyond the end."""

    occlusion = occluding.SERIES

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which steps are kept, and how numbers are scaled."""

        max_length: Length = 1024
        """Steps kept of a series, from its start."""
        scale: Literal["standard", "none"] = "standard"
        """`standard`: per number, minus the mean over the standard deviation of the training rows."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """Numbers a step, their means and spreads, the most steps kept and found."""

        numbers: Annotated[int, Gt(0), Le(65_536)]
        mean: Numbers
        spread: tuple[Annotated[float, Gt(0)], ...]
        max_length: Length
        longest: Length

        def __post_init__(self) -> None:
            if len(self.mean) != self.numbers or len(self.spread) != self.numbers or self.longest > self.max_length:
                raise ValueError(tr("the sizes of the parts differ"))

    @staticmethod
    def fit(series: pl.Series, config: Series.Config) -> Spec:
        """Numbers a step, and their means and spreads. Raises DataError L211 when no training row can be read."""
        known = [array for array in (parse(cell)[0] for cell in series.to_list()) if array is not None]
        if not known:
            raise DataError(
                "L211", tr("no training row holds a series"), where=series.name, fix=tr("write lists of numbers, one list for each step")
            )
        width = int(np.median([array.shape[1] for array in known]))
        steps = np.concatenate([array for array in known if array.shape[1] == width])
        steps = np.where(np.abs(steps) <= LARGEST, steps, np.nan)
        blank = np.isnan(steps).all(0)
        steps[:, blank] = 0.0
        mean, spread = np.nanmean(steps, 0), np.nanstd(steps, 0)
        if config.scale == "none":
            mean, spread = np.zeros(width), np.ones(width)
        spread = np.where(spread > 0, spread, 1.0)
        longest = min(config.max_length, max(len(array) for array in known))
        return {
            "kind": "series",
            "numbers": width,
            "mean": mean.tolist(),
            "spread": spread.tolist(),
            "max_length": config.max_length,
            "longest": longest,
        }

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """Ragged float32 (steps, numbers); other widths and what is no list of numbers are faults."""
        width, faults, parts = spec["numbers"], {}, []
        for place, cell in enumerate(series.to_list()):
            array, reason = parse(cell)
            if array is not None and array.shape[1] != width:
                array, reason = None, tr("{got} numbers a step instead of {wanted}", got=array.shape[1], wanted=width)
            if array is None:
                faults[place] = reason
                array = np.zeros((1, width))
            parts.append(array[: spec["max_length"]])
        values = (np.concatenate([np.zeros((0, width)), *parts]) - spec["mean"]) / spec["spread"]
        values = Ragged.of(np.where(np.isfinite(values), values, 0).astype(np.float32), [len(part) for part in parts])
        return Encoded(values, faults, np.maximum(values.lengths, 1))

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, T, numbers) float32, NaN = padding."""
        return torch.from_numpy(values.pad(np.nan))

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Waves of 3 to 7 steps of two numbers."""
        rng = np.random.default_rng(seed)
        return pl.Series([rng.normal(0, 1, (3 + i % 5, 2)).round(3).tolist() for i in range(count)], dtype=pl.List(pl.List(pl.Float64)))


def parse(cell: Any) -> tuple[np.ndarray | None, str]:
    """(steps, numbers) float64 from a list, a list of lists, or either written as JSON or as numbers with spaces."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None, tr("the series is missing")
    try:
        if isinstance(cell, str):
            cell = json.loads(cell) if cell.strip().startswith("[") else [float(part) for part in cell.replace(",", " ").split()]
        array = np.asarray(cell.to_list() if isinstance(cell, pl.Series) else cell, np.float64)
    except (ValueError, TypeError):
        return None, tr("not a series of numbers: {value}", value=repr(cell)[:60])
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        return None, tr("not a series of numbers: {value}", value=repr(cell)[:60])
    return array, ""
