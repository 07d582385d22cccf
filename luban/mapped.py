"""Arrays mapped from files: what was looked at is let go at once, so that the process holds little of them."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
MOST = 64_000_000  # bytes gathered in memory; more is gathered into a mapped file without a name
CHUNK = 1 << 18  # rows at a time
AROUND = 1 << 16  # bytes that the system maps at once for one that is read
TOUCHED = 256  # such pieces mapped at once
SPREAD = 8  # rows apart on average, from which on nothing is read ahead


def gather(array: Array, rows: Any) -> Array:
    """`array[rows]`; the pages of a mapped array are let go, and much of one stays mapped."""
    if not isinstance(array, np.memmap):
        return array[rows]
    if isinstance(rows, np.ndarray):
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return gather_mapped(array, rows) if len(rows) * row_bytes(array) > MOST else read(array, rows)
    out = np.array(array[rows])
    release(array)
    return out


def gather_mapped(array: np.memmap, rows: Array) -> Array:
    """The rows in a file that is gone when the last map of it is."""
    with tempfile.TemporaryFile(dir=folder_of(array)) as file:
        for start in range(0, len(rows), CHUNK):
            file.write(np.ascontiguousarray(read(array, rows[start : start + CHUNK])).data)
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=(len(rows), *array.shape[1:]))


def read(array: np.memmap, rows: Array) -> Array:
    """The rows in memory, read in the order of the file, a few pieces of it mapped at a time."""
    with looked_at(array, rows):
        if len(rows) <= TOUCHED or array.nbytes <= TOUCHED * AROUND:
            out = np.array(array[rows])
            release(array)
            return out
        order = np.argsort(rows, kind="stable")
        pieces = rows[order] * row_bytes(array) // AROUND
        seen = np.cumsum(np.diff(pieces, prepend=pieces[:1]) != 0) // TOUCHED
        out = np.empty((len(rows), *array.shape[1:]), array.dtype)
        for part in np.split(order, np.flatnonzero(np.diff(seen)) + 1):
            out[part] = array[rows[part]]
            release(array)
        return out


@contextmanager
def looked_at(array: np.memmap, rows: Array) -> Iterator[None]:
    """Where rows lie far apart the system reads no more than is asked for; what it reads ahead would push out what is needed."""
    held = getattr(array, "_mmap", None)
    apart = len(rows) > 1 and int(rows.max()) - int(rows.min()) > SPREAD * len(rows)
    if held is None or not apart or not hasattr(mmap, "MADV_RANDOM"):
        yield
        return
    held.madvise(mmap.MADV_RANDOM)
    try:
        yield
    finally:
        held.madvise(mmap.MADV_NORMAL)


def empty(shape: tuple[int, ...], dtype: Any, folder: Path | None) -> np.memmap:
    """An array to be filled, in a file there that is gone when the last map of it is."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize))
        return np.memmap(file, dtype, "r+", shape=shape)


def folder_of(array: Array) -> Path | None:
    """Where the file of a mapped array lies; None of one in memory, or of a file without a name."""
    return Path(str(array.filename)).absolute().parent if isinstance(array, np.memmap) and array.filename is not None else None


def release(array: Array) -> None:
    """Give back the memory of a mapped array; its file holds the values still."""
    held = getattr(array, "_mmap", None)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def total(array: Array) -> float:
    """The sum, of a mapped array piece by piece."""
    found = 0.0 if array.dtype.kind == "f" else 0
    for start in range(0, len(array), CHUNK):
        found += array[start : start + CHUNK].sum().item()
        release(array)
    return found


def row_bytes(array: Array) -> int:
    """Bytes of one row."""
    return array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))


def is_all(rows: Array, count: int) -> bool:
    """Whether the rows are all of them, in their order."""
    if len(rows) != count or (count and (int(rows[0]), int(rows[-1])) != (0, count - 1)):
        return False
    pieces = (rows[start : start + CHUNK + 1] for start in range(0, count, CHUNK))
    return all(bool((piece[1:] == piece[:-1] + 1).all()) for piece in pieces)
