"""Seconds and energy a run has taken, those of earlier sittings included: a budget is of the whole run, however often it was killed."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from luban.energy import Meter
from luban.files import write_whole

TICK_S = 5.0  # a kill forgets at most so many seconds


class Clock:
    """Counts while it is entered, and keeps the sums in `spent.json`. `lead_s` went by before it was made."""

    def __init__(self, path: Path, lead_s: float = 0.0) -> None:
        self.path, self.begun, self.meter = path, time.monotonic() - lead_s, Meter()
        self.before, self.kwh_before = kept(path, "seconds"), kept(path, "kwh")
        self.over = threading.Event()
        self.ticker = threading.Thread(target=self.tick, daemon=True)

    @property
    def seconds(self) -> float:
        """Of all sittings."""
        return self.before + time.monotonic() - self.begun

    @property
    def kwh(self) -> float:
        """Of all sittings."""
        return self.kwh_before + self.meter.kwh

    def __enter__(self) -> Clock:
        self.ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self.ticker.join()
        self.keep()

    def tick(self) -> None:
        """Keep the sums now and then, whatever the run is doing."""
        while not self.over.wait(TICK_S):
            self.keep()

    def keep(self) -> None:
        """Write the sums; where the disk is full, the run itself will say so."""
        with suppress(OSError):
            write_whole(self.path, json.dumps({"seconds": round(self.seconds, 3), "kwh": self.kwh}).encode())


def kept(path: Path, key: str) -> float:
    """What earlier sittings took."""
    try:
        value = float(json.loads(path.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0


def age() -> float:
    """Seconds since this process began; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError):
        return 0.0
