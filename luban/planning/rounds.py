"""What a solver takes that goes through all rows in rounds: their number from some rows, what each takes from a few of them over all rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from luban.planning.growth import Growth, Measure, grow, limit_of, measure, once

FIRST_ROWS, FACTOR = 1000, 4  # of which the number of rounds is found, then of so many times more while patience lasts
FEW, MORE = 5, 15  # rounds over all rows: their difference tells what one takes
FEW_S = 1.5  # that they may take at the least: over a part of the rows a round says little of the whole

Solve = Callable[[int, int | None], float]  # (rows, rounds at the most; None = as many as it takes) -> rounds taken


def grow_in_rounds(solve: Solve, total: int, *, foreseen: int, most: int, patience: float, each: float = math.inf) -> Growth:
    """Half of the patience for each question; `foreseen` rounds where not even some rows are solved in time."""
    first = once(lambda size: solve(size, 1), min(FIRST_ROWS, most), limit_of(patience))  # libraries are loaded
    rounds, whole = rounds_of(solve, most, foreseen, patience / 2)
    if whole is not None and most == total:
        return Growth(whole.seconds, first.seconds, whole.cpu_seconds, whole.peak_bytes, 1.0)
    few = grow(
        lambda size: solve(size, FEW),
        total,
        most=most,
        start=min(FIRST_ROWS, most),
        patience=max(FEW_S, patience / 2),
        affine=True,
        each=each,
    )
    size = max(1, round(few.share * total))
    last, before = (round_s(solve, rows) for rows in (size, max(1, size // FACTOR)))
    rise = max(0.0, last - before) / max(1, size - size // FACTOR)
    seconds = few.seconds + max(0.0, rounds - FEW) * (last + rise * (total - size))
    cpu_s, share = few.cpu_seconds * seconds / max(few.seconds, 1e-9), few.share * min(1.0, MORE / max(1.0, rounds))
    return replace(few, seconds=seconds, cpu_seconds=cpu_s, once_s=first.seconds, share=share)


def round_s(solve: Solve, size: int) -> float:
    """Seconds of one round over so many rows."""
    less, more = (measure(lambda size, rounds=rounds: solve(size, rounds), size).seconds for rounds in (FEW, MORE))
    return max(0.0, more - less) / (MORE - FEW)


def rounds_of(solve: Solve, most: int, foreseen: int, patience: float) -> tuple[float, Measure | None]:
    """How many rounds the most rows take that patience allows, and the measure, if those were all."""
    size, until, rounds = min(FIRST_ROWS, most), time.perf_counter() + patience, foreseen
    while True:
        taken = list[float]()
        found = once(lambda size, taken=taken: taken.append(solve(size, None)), size, limit_of(patience))
        if not taken:
            return rounds, None
        rounds = taken[0]
        if size == most:
            return rounds, found
        if found.seconds * FACTOR > until - time.perf_counter():
            return rounds, None
        size = min(most, FACTOR * size)
