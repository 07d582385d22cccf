"""How long a training lasts, and the learning rate along the way: both by the share that is spent."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from luban.energy import Costs
from luban.errors import RecipeError
from luban.messages import tr
from luban.training.settings import Training

UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "hours": 3600, "秒": 1, "分": 60, "分钟": 60, "小时": 3600}
ENERGY = {"wh": 1e-3, "kwh": 1.0, "mwh": 1e3, "度": 1.0, "千瓦时": 1.0}
MONEY = ("¥", "￥", "$", "€", "£", "元", "cny", "rmb", "usd", "eur", "gbp")
ROWS_IN_ALL = 400_000
RESERVE = 0.09  # share of a budget kept for evaluation and bundle, where no forecast says what they take
RESERVE_S = 3.0
RESERVE_SHORT, RESERVE_SHORT_S = 0.18, 5.4  # of a short one more is kept back
LATE = 0.5  # share of a budget after which no baseline is begun, but for cheap ones
CHEAP = 0.02  # share that a baseline takes which is hardly worth leaving out
MOST = 0.75  # share that a baseline may reach as far as is foreseen
FEW_ROWS = 60_000  # a small set is gone through until so many rows were seen


@dataclass(frozen=True)
class Amount:
    """What a budget allows."""

    value: float
    unit: str  # s, kWh or money


def amount_of(budget: str) -> Amount:
    """`10 min` -> 600 s; `0.02 kWh`; `¥3`. Raises RecipeError L114."""
    match = re.fullmatch(r"\s*([¥￥$€£])?\s*(\d+(?:\.\d+)?)\s*([^\W\d]+|[¥￥$€£])?\s*", budget)
    sign, value, unit = (match[1] or "", float(match[2]), (match[3] or "").lower()) if match else ("", 0.0, "")
    if value > 0 and unit in UNITS and not sign:
        return Amount(value * UNITS[unit], "s")
    if value > 0 and unit in ENERGY and not sign:
        return Amount(value * ENERGY[unit], "kWh")
    if value > 0 and bool(sign) != bool(unit) and (sign or unit) in MONEY:
        return Amount(value, "money")
    fix = 'budget = "90 s" | "10 min" | "2 h" | "0.02 kWh" | "¥3"'
    raise RecipeError("L114", tr("not a budget of time, energy or money"), where="training.budget", received=budget, fix=fix)


def check_budget(budget: str, costs: Costs) -> None:
    """Raises RecipeError L114, and L119 for a budget of money where nothing has a price."""
    if amount_of(budget).unit == "money" and not costs.money(1.0, 1.0):
        what, fix = tr("a budget of money, but nothing has a price"), "[costs] price_kwh = 0.6, price_hour = 2.0"
        raise RecipeError("L119", what, where="training.budget", received=budget, fix=fix)


def left_for_fits(whole: float, spent: float, fits: int, reserve: float) -> float:
    """What each of so many networks may take of a budget, in its unit, when what follows them is kept back."""
    return max(1e-3 * whole, (whole - spent - reserve) / fits)


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


def is_late(whole: float, spent: float, foreseen: float | None) -> bool:
    """Whether a baseline that is foreseen to take so much (None: nobody knows) comes too late, or takes too much, of a budget."""
    if spent + (foreseen or 0.0) > MOST * whole:
        return True
    return spent > LATE * whole and (foreseen is None or foreseen > CHEAP * whole)


@dataclass(frozen=True)
class Purse:
    """What a budget leaves for one training, in its unit."""

    allowed: float
    read: Callable[[], float] = time.monotonic  # what was spent, from any zero
    passes: float = 0.0  # over the validation rows, that follow the training and are paid from what is allowed
    seconds: float = math.inf  # that it lasts, about
    began: float | None = None  # what was spent when it was filled; None = when the first step is taken


@dataclass
class Budget:
    """What is spent of steps, epochs and the purse; the largest share counts."""

    settings: Training
    epochs: float | None
    purse: Purse | None = None
    spent_before: float = 0.0  # in earlier sittings, of the purse
    seconds_before: float = 0.0
    pass_s: float = 0.0  # seconds of one pass over the validation rows, as soon as it is known
    most: float = 0.0  # share till now: it never falls, whatever is kept back

    def __post_init__(self) -> None:
        self.started, self.began = time.monotonic(), self.purse.read() if self.purse else 0.0
        self.lost = self.began - self.purse.began if self.purse and self.purse.began is not None else 0.0  # before the first step

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def spent(self) -> float:
        """Of the purse, earlier sittings included."""
        return self.spent_before + self.purse.read() - self.began if self.purse else 0.0

    def share(self, step: int, epoch: float) -> float:
        """0 at the start, 1 when it is over."""
        shares = [0.0]
        if self.settings.steps is not None:
            shares.append(step / self.settings.steps)
        if self.epochs is not None:
            shares.append(epoch / self.epochs)
        if self.purse is not None:
            shares.append(self.spent / max(self.allowed(), 1e-9))
        self.most = max(self.most, min(1.0, max(shares)))
        return self.most

    def allowed(self) -> float:
        """Of the purse in all sittings, less what the last validations take at the rate of spending till now; at least a tenth of it."""
        whole = self.spent_before + max(0.1 * self.purse.allowed, self.purse.allowed - self.lost) if self.purse else 0.0
        kept = self.purse.passes * self.pass_s * self.spent / max(self.elapsed_s, 1e-6) if self.purse else 0.0
        return max(0.1 * whole, whole - kept)


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
