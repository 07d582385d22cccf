"""Energy: counted by the processor where it lets us read its counters, else CPU seconds times a band of watts; carbon and money from it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

COUNTERS = Path("/sys/class/powercap")
JOULES_A_KWH = 3.6e6
WATTS_A_CORE = (3.0, 7.0, 15.0)
"""Thermal design power over cores, from servers (EPYC 7763: 280 W, 64 cores) over Xeon 8380 (270 W, 40) to desktops (Ryzen 7 5800X: 105 W, 8; more under turbo)."""
GRID_KG = 0.48
Price = Annotated[float, Ge(0), Le(1e9)]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The `[costs]` section: what the user's energy and machine cost."""

    price_kwh: Price | None = None
    """Price of a kWh."""
    price_hour: Price | None = None
    """Price of an hour of this machine."""
    currency: str = ""
    """The prices' currency, shown beside them: `¥`, `$`, `EUR`."""
    grid_kg: Price = GRID_KG
    """kg CO₂ a kWh. The default is the world's average of 2023 (Ember, Global Electricity Review 2024)."""

    def money(self, seconds: float, kwh: float) -> float | None:
        """Of so much time and energy; None without a price."""
        parts = [price * amount for price, amount in ((self.price_kwh, kwh), (self.price_hour, seconds / 3600)) if price is not None]
        return sum(parts) if parts else None

    def spent(self, unit: str, seconds: float, kwh: float) -> float:
        """Time and energy in the unit of a budget: `s`, `kWh` or `money`."""
        return {"s": seconds, "kWh": kwh, "money": self.money(seconds, kwh) or 0.0}[unit]


@dataclass(frozen=True)
class Energy:
    """How seconds become energy."""

    source: str  # counters | band
    watts: float | None  # of the whole processor while it works, by its counters
    costs: Costs

    def of(self, cpu_seconds: float, seconds: float) -> dict[str, Any]:
        """kWh low, middle, high; kg CO₂ and money of the middle."""
        if self.watts is not None:
            low = middle = high = self.watts * seconds / JOULES_A_KWH
        else:
            low, middle, high = (watts * cpu_seconds / JOULES_A_KWH for watts in WATTS_A_CORE)
        money = self.costs.money(seconds, middle)
        return {"kwh": middle, "kwh_low": low, "kwh_high": high, "co2_kg": middle * self.costs.grid_kg, "money": money}

    def rate(self, unit: str, cores: float) -> float:
        """What a second with so many busy cores takes of a budget in this unit."""
        return self.costs.spent(unit, 1.0, self.of(cores, 1.0)["kwh"])


@dataclass(frozen=True)
class Reading:
    """The counters at one moment, in µJ by name."""

    microjoules: dict[str, int]
    ranges: dict[str, int]

    def until(self, later: Reading) -> float | None:
        """Joules between two readings, a counter that began anew respected; None without counters."""
        if not self.microjoules or self.microjoules.keys() != later.microjoules.keys():
            return None
        spans = [(later.microjoules[name] - before) % (self.ranges[name] + 1) for name, before in self.microjoules.items()]
        return sum(spans) / 1e6


def read(folder: Path | None = None) -> Reading:
    """Every package's counter that may be read; empty where there is none."""
    found, ranges = {}, {}
    for zone in sorted((folder or COUNTERS).glob("intel-rapl:*")):
        try:
            if zone.name.count(":") == 1:
                found[zone.name] = int((zone / "energy_uj").read_text())
                ranges[zone.name] = int((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            return Reading({}, {})
    return Reading(found, ranges)


class Meter:
    """Energy since it was made: by the counters (of all that the processor did), else this process' CPU seconds at the middle of the band."""

    def __init__(self) -> None:
        self.reading, self.cpu, self.joules, self.lock = read(), cpu_seconds(), 0.0, threading.Lock()

    @property
    def source(self) -> str:
        """counters | band."""
        return "counters" if self.reading.microjoules else "band"

    @property
    def kwh(self) -> float:
        """Read at least as often as a counter begins anew: some ten minutes at full power."""
        if not self.reading.microjoules:
            return (cpu_seconds() - self.cpu) * WATTS_A_CORE[1] / JOULES_A_KWH
        with self.lock:
            later = read()
            self.joules += self.reading.until(later) or 0.0
            self.reading = later if later.microjoules else self.reading
            return self.joules / JOULES_A_KWH


def cpu_seconds() -> float:
    """Of all threads of this process, and of its children that are done."""
    return sum(os.times()[:4])
