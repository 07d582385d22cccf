"""A peer in a process group of its own, with its workers: waited for, halted while others are measured, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException

PATIENCE_S = 20


def free_port() -> int:
    """Of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Halting:
    """A service that is halted unless it is asked."""

    def begin(
        self, command: list[str], core: str, ask: Callable[[], object], *, patience_s: float, env: dict[str, str] | None = None
    ) -> float:
        """Start it on a core, and seconds until `ask` gets an answer. Raises RuntimeError where it never does."""
        begun = time.perf_counter()
        bind = ["taskset", "-c", core] if core else []
        self.process = subprocess.Popen([*bind, *command], start_new_session=True, env=env)
        while True:
            with suppress(OSError, HTTPException):
                ask()
                return time.perf_counter() - begun
            if self.process.poll() is not None or time.perf_counter() - begun > patience_s:
                self.stop()
                raise RuntimeError(f"{command[2]} does not answer")
            time.sleep(0.2)

    def halt(self, halted: bool) -> None:
        """Stop all of it, or let it go on."""
        os.killpg(self.process.pid, signal.SIGSTOP if halted else signal.SIGCONT)

    def stop(self) -> None:
        """With its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
