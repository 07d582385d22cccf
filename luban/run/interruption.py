"""Ctrl-C and SIGTERM: the first asks the run to save and leave, the second leaves at once; so does patience that ends."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 25.0  # to reach a safe place; what is on the disk is whole at any time
AT_ONCE_S = 1.0


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
        with watched():
            yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watched() -> Iterator[None]:
    """A thread that ends the process where the main one, deep in a library, hears no signal."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, args=(reader,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        watcher.join()
        os.close(reader)


def watch(reader: int) -> None:
    """Read signal numbers until the other end is closed; after the first, wait only so long."""
    asked, patience = 0, None
    while True:
        if not select.select([reader], [], [], patience)[0]:
            os._exit(128 + asked)
        heard = os.read(reader, 1)
        if not heard:
            return
        if heard[0] in SIGNALS:
            patience = AT_ONCE_S if asked else GRACE_S
            asked = asked or heard[0]
