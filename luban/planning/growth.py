"""Work done at growing sizes until patience ends; the whole is measured where it fits, else carried on by a fitted power."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from luban.energy import cpu_seconds
from luban.planning.memory import Peak

LEAST, MOST = 0.9, 2.0  # powers of the size that solvers are believed to have; below, there is a constant part, and a line is carried on
FACTOR = 4
LEAP, DOUBLE = 8, 2  # to the second of two sizes; the smaller where a line is looked for and the first took all the patience
LIMIT, LIMIT_S = 3, 3.0  # patiences, and seconds at the least, after which one round is broken off
COLD, COLD_S = 2, 2.0  # patiences, and seconds at the least, up to which the first size is measured again: libraries are loaded by then
SHORT_S = 0.2
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


class TimeUp(Exception):
    """The work took longer than it may."""


def once(work: Callable[[int], Any], size: int, limit: float) -> Measure:
    """Do the work one time; broken off, it counts as having taken the limit."""

    def bounded(size: int) -> None:
        with suppress(TimeUp), at_most(limit):
            work(size)

    return measure(bounded, size, repeats=1)


def limit_of(patience: float) -> float:
    """Seconds after which one round is broken off."""
    return max(LIMIT_S, LIMIT * patience)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Break the block off with TimeUp, as soon as a library lets Python speak; only the main thread can be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def break_off(number: int, frame: FrameType | None) -> None:
    """Raises TimeUp."""
    raise TimeUp


def measure(work: Callable[[int], Any], size: int, *, repeats: int = 3) -> Measure:
    """Do the work; again where it is short, and the middle one counts."""
    cpu, spans = cpu_seconds(), list[float]()
    with Peak() as peak:
        while not spans or (len(spans) < repeats and sum(spans) < SHORT_S):
            begun = time.perf_counter()
            work(size)
            spans.append(time.perf_counter() - begun)
    return Measure(size, sorted(spans)[len(spans) // 2], (cpu_seconds() - cpu) / len(spans), peak.bytes)


def grow(
    work: Callable[[int], Any],
    total: int,
    *,
    start: int,
    patience: float,
    most: int | None = None,
    affine: bool = False,
    each: float = math.inf,
) -> Growth:
    """Measure at growing sizes up to `most`, for about `patience` seconds. `affine`: the whole lies on a line, not on a power; `each`: bytes that
    one more takes at the most."""
    most = min(total, most or total)
    size, until = min(start, most), time.perf_counter() + patience
    limit = limit_of(patience)
    first = once(work, size, limit)
    if first.seconds >= limit:
        return carried([first], total, once_s=0.0, affine=affine, each=each)
    until = max(until, time.perf_counter() + patience / 2)  # what only the first time costs is no reason to measure less
    known = first.seconds > (patience if affine else max(COLD_S, COLD * patience))
    found = [first if known else measure(work, size)]
    while found[-1].size < most:
        size = next_size(found, most, until - time.perf_counter())
        if size < min(most, WORTH * found[-1].size):
            break
        found.append(measure(work, size))
    if len(found) == 1 and found[0].size < most:  # two sizes tell a constant part from a growing one, whatever they take
        leap = DOUBLE if affine and first.seconds > patience else LEAP
        found.append(once(work, min(most, leap * found[0].size), limit))
    if len(found) > 1 and found[0].seconds > found[1].seconds:  # the first paid for what only the first time costs
        del found[0]
    return carried(found, total, once_s=max(0.0, first.seconds - found[0].seconds), affine=affine, each=each)


def next_size(found: list[Measure], most: int, left: float) -> int:
    """The whole where it fits into the time that is left, else the most that does, at most four times the last."""
    last, power = found[-1], power_of(found)
    within = last.size * (max(0.0, left) / max(last.seconds, 1e-6)) ** (1 / power)
    return most if within >= most else min(int(within), FACTOR * last.size)


def power_of(found: list[Measure]) -> float:
    """Of the size in the seconds, from the last two; 1.2 after one."""
    return 1.2 if len(found) < 2 else min(MOST, max(LEAST, slope_of(found)))


def slope_of(found: list[Measure]) -> float:
    """Of the logarithms of the last two."""
    a, b = found[-2:]
    return math.log(max(b.seconds, 1e-6) / max(a.seconds, 1e-6)) / math.log(b.size / a.size)


def carried(found: list[Measure], total: int, *, once_s: float, affine: bool, each: float = math.inf) -> Growth:
    """The last measure carried on to the whole."""
    last = found[-1]
    if last.size >= total:
        return Growth(last.seconds, once_s, last.cpu_seconds, last.peak_bytes, 1.0)
    factor = (total / last.size) ** (1.0 if len(found) < 2 else power_of(found))
    seconds = last.seconds * factor
    if len(found) > 1 and (affine or slope_of(found) < LEAST):
        bent = 1.0 if affine else math.log(total) / math.log(max(2, last.size))  # beside a constant part solvers grow as n log n
        seconds = last.seconds + bent * rise([(m.size, m.seconds) for m in found]) * (total - last.size)
    peak = last.peak_bytes + min(each, rise([(m.size, m.peak_bytes) for m in found])) * (total - last.size)
    cores = last.cpu_seconds / max(last.seconds, 1e-6)
    return Growth(seconds, once_s, seconds * cores, int(peak), last.size / total)


def rise(points: list[tuple[int, float]]) -> float:
    """Of the line through the last two points, never falling; 0 through one."""
    if len(points) < 2:
        return 0.0
    (a, low), (b, high) = points[-2:]
    return max(0.0, (high - low) / (b - a))
