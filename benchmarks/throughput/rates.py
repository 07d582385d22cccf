"""Operations a second, by the clock and by CPU time, beside those of a square product measured in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

SIDE = 1024  # of the square product
PRODUCTS = 10  # of them a round


def rate(work: Callable[[], object], operations: float, times: int, threads: int) -> tuple[float, float]:
    """(GFLOP/s by the clock, and by CPU time on all threads)."""
    work()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    wall, cpu = time.perf_counter() - wall, (time.process_time() - cpu) / threads
    return operations * times / wall / 1e9, operations * times / cpu / 1e9


def of_peak(
    step: Callable[[], object], operations: float, *, steps: int, rounds: int, threads: int
) -> dict[str, tuple[float, float, float]]:
    """By the clock and by CPU time: the medians of our GFLOP/s, of the product's, and of their ratio round by round."""
    square = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    pairs = [
        (rate(step, operations, steps, threads), rate(lambda: square[0] @ square[1], 2 * SIDE**3, PRODUCTS, threads))
        for _ in range(rounds + 1)
    ][1:]
    found = {}
    for place, title in enumerate(("clock", "CPU time")):
        ours, most = [one[place] for one, _ in pairs], [other[place] for _, other in pairs]
        shares = [a / b for a, b in zip(ours, most, strict=True)]
        found[title] = (statistics.median(ours), statistics.median(most), statistics.median(shares))
    return found
