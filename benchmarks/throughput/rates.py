"""Operations a second, by the clock and by CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable


def rate(work: Callable[[], object], operations: float, times: int, threads: int) -> tuple[float, float]:
    """(GFLOP/s by the clock, and by CPU time on all threads)."""
    work()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    wall, cpu = time.perf_counter() - wall, (time.process_time() - cpu) / threads
    return operations * times / wall / 1e9, operations * times / cpu / 1e9
