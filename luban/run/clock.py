"""Seconds a run has taken, those of earlier sittings included: a budget is of the whole run, however often it was killed."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from luban.files import write_whole

TICK_S = 5.0  # a kill forgets at most so many seconds


class Clock:
    """Counts while it is entered, and keeps the sum in `spent.json`."""

    def __init__(self, path: Path) -> None:
        self.path, self.before, self.begun = path, kept(path), time.monotonic()
        self.over = threading.Event()
        self.ticker = threading.Thread(target=self.tick, daemon=True)

    @property
    def seconds(self) -> float:
        """Of all sittings."""
        return self.before + time.monotonic() - self.begun

    def __enter__(self) -> Clock:
        self.ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self.ticker.join()
        self.keep()

    def tick(self) -> None:
        """Keep the sum now and then, whatever the run is doing."""
        while not self.over.wait(TICK_S):
            self.keep()

    def keep(self) -> None:
        """Write the sum; where the disk is full, the run itself will say so."""
        with suppress(OSError):
            write_whole(self.path, json.dumps({"seconds": round(self.seconds, 3)}).encode())


def kept(path: Path) -> float:
    """What earlier sittings took."""
    try:
        seconds = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds >= 0 else 0.0
