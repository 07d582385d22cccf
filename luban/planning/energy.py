"""Energy: counted by the processor where it lets us read its counters, else CPU seconds times a band of watts; carbon and money from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

COUNTERS = Path("/sys/class/powercap")
JOULES_A_KWH = 3.6e6
WATTS_A_CORE = (3.0, 7.0, 15.0)
"""Thermal design power over cores, from servers (EPYC 7763: 280 W, 64 cores) over Xeon 8380 (270 W, 40) to desktops (Ryzen 7 5800X: 105 W, 8; more under turbo)."""
GRID_KG = 0.48
"""kg CO₂ a kWh, the world's average of 2023 (Ember, Global Electricity Review 2024)."""


@dataclass(frozen=True)
class Prices:
    """What the user's energy and machine cost."""

    grid_kg: float = GRID_KG
    kwh: float | None = None
    hour: float | None = None
    currency: str = ""


@dataclass(frozen=True)
class Energy:
    """How seconds become energy."""

    source: str  # counters | band
    watts: float | None  # of the whole processor while it works, by its counters
    prices: Prices

    def of(self, cpu_seconds: float, seconds: float) -> dict[str, Any]:
        """kWh low, middle, high; kg CO₂ and money of the middle."""
        if self.watts is not None:
            low = middle = high = self.watts * seconds / JOULES_A_KWH
        else:
            low, middle, high = (watts * cpu_seconds / JOULES_A_KWH for watts in WATTS_A_CORE)
        prices = self.prices
        parts = [price * amount for price, amount in ((prices.kwh, middle), (prices.hour, seconds / 3600)) if price is not None]
        return {"kwh": middle, "kwh_low": low, "kwh_high": high, "co2_kg": middle * prices.grid_kg, "money": sum(parts) if parts else None}


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


def read(folder: Path = COUNTERS) -> Reading:
    """Every package's counter that may be read; empty where there is none."""
    found, ranges = {}, {}
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            if zone.name.count(":") == 1:
                found[zone.name] = int((zone / "energy_uj").read_text())
                ranges[zone.name] = int((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            return Reading({}, {})
    return Reading(found, ranges)
