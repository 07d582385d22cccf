"""How much this process may hold: what the recipe allows, or half of the RAM that machine and container give it."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luban.errors import DataError, RecipeError
from luban.messages import tr

UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
SHARE = 0.5  # of the RAM, where the recipe says nothing
LIBRARIES = 800_000_000  # what the program holds whatever the data is: code, a small network and its optimizer, a linear model
LEAST = 200_000_000  # what must be left beside them
MAPPED_FROM, GIVEN_BACK_FROM = (
    -3,
    -1,
)  # how mallopt calls the size from which a part is mapped by itself, and of the rest at the end that is given back
USUAL_PART, WHOLE_PART = 32 << 20, 1 << 30  # bytes: what glibc's own moving threshold comes to, and what hardly any tensor here has
CGROUP, OWN_GROUPS, MEMINFO = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), Path("/proc/meminfo")


def bytes_of(amount: str) -> int:
    """`500 MB` -> 500000000. Raises RecipeError L105."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", amount, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        what = tr("not an amount of memory")
        raise RecipeError("L105", what, where="training.memory", received=amount, fix='memory = "500 MB" | "2 GB" | "1.5 GiB"')
    return int(float(match[1]) * UNITS[match[2].lower()])


def allowance(asked: str | None) -> int:
    """Bytes this process may hold, libraries included."""
    return bytes_of(asked) if asked is not None else int(SHARE * available())


def room(asked: str | None) -> int:
    """Bytes left beside the libraries, the same on every run of a recipe. Raises DataError L261 where that is too little."""
    left = allowance(asked) - LIBRARIES
    if asked is not None and left < LEAST:
        what = tr("the program and its libraries hold {held} MB; that leaves too little for data", held=LIBRARIES // 10**6)
        fix = f'memory = "{(LIBRARIES + LEAST) // 10**6} MB"'
        raise DataError("L261", what, where="recipe.toml: training.memory", received=asked, fix=fix)
    return max(LEAST, left)


@contextmanager
def kept(*, wanted: bool = True) -> Iterator[None]:
    """Freed memory stays with the process while this lasts, where its allocator (glibc's) can be told so.

    Each training step asks for what the last one freed, and being given fresh pages took a twentieth of it.
    """
    if not wanted or not order(WHOLE_PART, -1):
        yield
        return
    try:
        yield
    finally:
        give_back()


def give_back() -> None:
    """Keep freed memory no longer, and give back what there is of it."""
    order(USUAL_PART, 2 * USUAL_PART)
    trim()


def order(mapped_from: int, given_back_from: int) -> bool:
    """Tell the allocator; whether it takes orders."""
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is not None:
        tell(MAPPED_FROM, mapped_from)
        tell(GIVEN_BACK_FROM, given_back_from)
    return tell is not None


def trim() -> None:
    """Give freed memory back to the system, where its allocator can."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


def available() -> int:
    """Bytes of RAM, of the machine or of the container if that has less."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *(limit for limit, _ in container_limits())])


def free() -> int:
    """Bytes that this process may still take without swapping, those a container leaves it if they are less."""
    return min([system_free(), *(max(0, limit - used) for limit, used in container_limits())])


def system_free() -> int:
    """Bytes the system can give without swapping."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def container_limits() -> list[tuple[int, int]]:
    """What control groups allow, and what of it is in use: of this one and those above (v2, and v1's memory controller)."""
    new, old = CGROUP, CGROUP / "memory"
    files = [(group / "memory.max", group / "memory.current") for group in groups(new, "0::")]
    files += [(group / "memory.limit_in_bytes", group / "memory.usage_in_bytes") for group in groups(old, ":memory:")]
    return [(limit, max(0, read_bytes(used) - cached_bytes(used.parent))) for file, used in files if (limit := read_bytes(file))]


def groups(root: Path, mark: str) -> list[Path]:
    """The control group this process is in and those above; inside a container its own is the root of what is seen."""
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    own = next((line.partition(mark)[2] for line in lines if mark in line), "/")
    place = root / own.strip().lstrip("/")
    return [folder for folder in (place, *place.parents) if folder.is_relative_to(root)]


def cached_bytes(group: Path) -> int:
    """What a control group counts as used, though it is only files that were read and can be dropped."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "total_inactive_file "))), 0)


def read_bytes(file: Path) -> int:
    """A number of bytes, 0 where there is none."""
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
