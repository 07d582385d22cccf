"""Ctrl-C and SIGTERM: the first asks the run to save and leave, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The run saved its state and stopped; the same command goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interruption:
    """Which signal asked, if any."""

    number: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number:
            raise Interrupted(number)
        self.number = number

    def check(self) -> None:
        """Raises Interrupted once a signal came."""
        if self.number:
            raise Interrupted(self.number)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within, signals wait for the next safe place; outside the main thread they are left alone."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
