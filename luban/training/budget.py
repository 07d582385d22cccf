"""How long a training lasts, and the learning rate along the way: both by the share that is spent."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field

from luban.errors import RecipeError
from luban.messages import tr
from luban.training.settings import Training

UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "hours": 3600, "秒": 1, "分": 60, "分钟": 60, "小时": 3600}
ROWS_IN_ALL = 400_000
RESERVE = 0.09  # share of a budget kept for evaluation and bundle
RESERVE_S = 3.0
FEW_ROWS = 60_000  # a small set is gone through until so many rows were seen


def seconds_of(budget: str) -> float:
    """`10 min` -> 600. Raises RecipeError L114."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d]+)\s*", budget)
    if not match or match[2].lower() not in UNITS or float(match[1]) <= 0:
        raise RecipeError(
            "L114", tr("not a budget of time"), where="training.budget", received=budget, fix='budget = "90 s" | "10 min" | "2 h"'
        )
    return float(match[1]) * UNITS[match[2].lower()]


def left_for_fits(budget: str, spent_s: float, fits: int) -> float:
    """Seconds for the next of so many networks, when what evaluation needs is kept back."""
    whole = seconds_of(budget)
    return max(1.0, (whole - spent_s - max(RESERVE_S, RESERVE * whole)) / fits)


def batch_size_of(settings: Training, rows: int) -> int:
    """A hundredth of the rows, as a power of two from 16 to 256, unless the recipe says."""
    if settings.batch_size == "all" or settings.optimizer == "gd":
        return rows
    if settings.batch_size is not None:
        return min(settings.batch_size, rows)
    return min(rows, max(16, min(256, 2 ** round(math.log2(max(1, rows / 100))))))


def epochs_of(settings: Training, rows: int, suggested: float | None = None) -> float | None:
    """Passes over the rows: as the recipe says, else as the architecture suggests; None where steps or a budget alone decide."""
    if settings.epochs is not None or settings.steps is not None:
        return settings.epochs
    if suggested:
        return float(max(suggested, min(100, round(FEW_ROWS / max(1, rows)))))
    return None if settings.budget is not None else float(min(100, max(4, round(ROWS_IN_ALL / max(1, rows)))))


@dataclass
class Budget:
    """What is spent of steps, epochs and seconds; the largest share counts."""

    settings: Training
    epochs: float | None
    seconds: float | None  # of the budget, what training may take, earlier sittings included
    spent_s: float = 0.0  # in earlier sittings
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self.spent_s + time.monotonic() - self.started

    def share(self, step: int, epoch: float) -> float:
        """0 at the start, 1 when it is over."""
        shares = [0.0]
        if self.settings.steps is not None:
            shares.append(step / self.settings.steps)
        if self.epochs is not None:
            shares.append(epoch / self.epochs)
        if self.seconds is not None:
            shares.append(self.elapsed_s / max(self.seconds, 1e-3))
        return min(1.0, max(shares))


def rate_at(share: float, settings: Training) -> float:
    """Multiplier of the learning rate: rises over the warm-up, then falls to 0 (cosine: Loshchilov and Hutter 2017, eq. 5)."""
    if settings.schedule == "constant" and not settings.warmup:
        return 1.0
    if share < settings.warmup:
        return max(share / settings.warmup, 0.01)
    rest = (share - settings.warmup) / max(1e-9, 1 - settings.warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * rest))
    return 1 - rest if settings.schedule == "linear" else 1.0
