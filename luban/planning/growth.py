"""Work done at growing sizes until patience ends; the whole is measured where it fits, else carried on by a fitted power."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luban.planning.memory import Peak

LEAST, MOST = 0.9, 2.0  # powers of the size that solvers are believed to have
FACTOR = 4
WORTH = 1.5  # a next size less than so many times the last teaches little


@dataclass(frozen=True)
class Measure:
    """What one round took."""

    size: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Growth:
    """What the whole takes."""

    seconds: float
    once_s: float  # more that the first time takes: libraries are loaded
    cpu_seconds: float
    peak_bytes: int
    share: float  # of the whole that was done; 1 = measured, not carried on


def measure(work: Callable[[int], Any], size: int) -> Measure:
    """Do the work once."""
    cpu, begun = cpu_seconds(), time.perf_counter()
    with Peak() as peak:
        work(size)
    return Measure(size, time.perf_counter() - begun, cpu_seconds() - cpu, peak.bytes)


def cpu_seconds() -> float:
    """Of all threads of this process."""
    times = os.times()
    return times.user + times.system


def grow(work: Callable[[int], Any], total: int, *, start: int, patience: float, most: int | None = None, affine: bool = False) -> Growth:
    """Measure at growing sizes up to `most`, for about `patience` seconds. `affine`: the whole lies on a line, not on a power."""
    most = min(total, most or total)
    size, until = min(start, most), time.perf_counter() + patience
    first = measure(work, size)
    if first.seconds > patience:
        return carried([first], total, once_s=0.0, affine=affine)
    found = [measure(work, size)]
    once_s = max(0.0, first.seconds - found[0].seconds)
    while found[-1].size < most:
        size = next_size(found, most, until - time.perf_counter())
        if size < min(most, WORTH * found[-1].size):
            break
        found.append(measure(work, size))
    return carried(found, total, once_s=once_s, affine=affine)


def next_size(found: list[Measure], most: int, left: float) -> int:
    """The whole where it fits into the time that is left, else the most that does, at most four times the last."""
    last, power = found[-1], power_of(found)
    within = last.size * (max(0.0, left) / max(last.seconds, 1e-6)) ** (1 / power)
    return most if within >= most else min(int(within), FACTOR * last.size)


def power_of(found: list[Measure]) -> float:
    """Of the size in the seconds, from the last two; 1.2 after one."""
    if len(found) < 2:
        return 1.2
    a, b = found[-2:]
    slope = math.log(max(b.seconds, 1e-6) / max(a.seconds, 1e-6)) / math.log(b.size / a.size)
    return min(MOST, max(LEAST, slope))


def carried(found: list[Measure], total: int, *, once_s: float, affine: bool) -> Growth:
    """The last measure carried on to the whole."""
    last = found[-1]
    if last.size >= total:
        return Growth(last.seconds, once_s, last.cpu_seconds, last.peak_bytes, 1.0)
    factor = (total / last.size) ** (1.0 if len(found) < 2 else power_of(found))
    seconds = last.seconds * factor
    if affine and len(found) > 1:
        seconds = last.seconds + rise([(m.size, m.seconds) for m in found]) * (total - last.size)
    peak = last.peak_bytes + rise([(m.size, m.peak_bytes) for m in found]) * (total - last.size)
    cores = last.cpu_seconds / max(last.seconds, 1e-6)
    return Growth(seconds, once_s, seconds * cores, int(peak), last.size / total)


def rise(points: list[tuple[int, float]]) -> float:
    """Of the line through the last two points, never falling; 0 through one."""
    if len(points) < 2:
        return 0.0
    (a, low), (b, high) = points[-2:]
    return max(0.0, (high - low) / (b - a))
