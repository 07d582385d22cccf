"""forecasting: what follows in a series. A row is an observation, an example is a window that ends in asked observations.

B batch, P past, H horizon.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from luban.columns import Columns, Ragged
from luban.draw import Draw
from luban.task import Loss, Split


@dataclass(frozen=True)
class Batch:
    """What a step sees."""

    past: Tensor  # (B, P) scaled by mean and spread of the past itself
    future: Tensor  # (B, H) scaled, NaN = unknown
    scale: Tensor  # (B, 2) mean and spread


class Forecasting:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Lengths in steps."""

        past: int = 13
        """Steps seen."""
        horizon: int = 3
        """Steps foretold."""

    split = Split(by="last", group="series", order="time", context=True)
    metrics = ("rmse",)

    def __init__(self, config: Config, state: dict[str, Any] | None = None) -> None:
        self.config, self.state = config, state

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """Each window scales itself."""
        return {}

    def encode(self, table: pl.DataFrame) -> Columns:
        """One to one with rows."""
        value = table["value"].to_numpy().astype(np.float32)
        return Columns({"series": table["series"].to_numpy(), "time": table["time"].to_numpy(), "value": value}, np.arange(len(table)))

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Windows as overlapping spans over values sorted by series and time; nothing is copied."""
        past, horizon = self.config.past, self.config.horizon
        order = np.lexsort((rows["time"], rows["series"]))
        series, value, row = rows["series"][order], rows["value"][order], rows.row[order]
        first = np.flatnonzero(np.r_[True, series[1:] != series[:-1]])
        if asked is None:  # deployed: what follows each series
            middle, ahead = np.r_[first[1:], len(series)], 0
        else:
            middle, ahead = np.arange(past, len(order) - horizon + 1), horizon
            wanted = np.lib.stride_tricks.sliding_window_view(asked[order], horizon)[past:].all(1) if len(middle) else np.zeros(0, bool)
            middle = middle[wanted & (series[middle - past] == series[middle + horizon - 1])]
        begin = np.maximum(middle - past, first[np.searchsorted(first, middle - 1, side="right") - 1])
        spans = {"past": Ragged(value, begin, middle - begin), "future": Ragged(value, middle, np.full(len(middle), ahead))}
        return Columns(spans, row[middle - (ahead == 0)])

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """A short past is filled with its own mean."""
        past = torch.from_numpy(examples["past"].pad(np.nan, width=self.config.past))
        future = torch.from_numpy(examples["future"].pad(np.nan, width=self.config.horizon))
        mean = past.nanmean(1, keepdim=True)
        spread = (past - mean).square().nanmean(1, keepdim=True).sqrt().clamp(min=1e-3)
        return Batch(((past - mean) / spread).nan_to_num(0.0), (future - mean) / spread, torch.cat([mean, spread], 1))

    def build(self) -> nn.Module:
        """One hidden layer, with dropout."""
        return nn.Sequential(nn.Linear(self.config.past, 29), nn.ReLU(), nn.Dropout(0.05), nn.Linear(29, self.config.horizon))

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Squared error over all foretold steps."""
        yield Loss((net(batch.past) - batch.future).square().mean(), batch.future.numel())

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, H) in the user's unit."""
        return net(batch.past) * batch.scale[:, 1:] + batch.scale[:, :1]

    def answer(self, forecast: Tensor) -> pl.DataFrame:
        """`forecast`, one list a series."""
        return pl.DataFrame({"forecast": forecast.tolist()})

    def judge(self, forecast: Tensor, batch: Batch) -> dict[str, Any]:
        """Squared errors."""
        truth = batch.future * batch.scale[:, 1:] + batch.scale[:, :1]
        return {"squared_error": (forecast - truth).square().double().numpy()}

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Noisy waves on levels of their own, rows shuffled."""
        rng, time = np.random.default_rng(seed), np.arange(67)
        waves = [
            pl.DataFrame({"series": [k] * 67, "time": time, "value": 5 * k + np.sin(time / 3 + k) + rng.normal(0, 0.05, 67)})
            for k in range(max(2, count // 67))
        ]
        return pl.concat(waves).sample(fraction=1, shuffle=True, seed=seed)


def rmse(marks: Columns) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.asarray(marks["squared_error"]).mean()))
