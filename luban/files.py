"""Files and folders that are whole or absent: written beside their place, flushed, renamed, the names flushed too.

Everything a resume or a user leans on is written here: after a kill, a failing disk or a loss of power the old state stands or the new one.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

DIGESTED = 4_000_000  # bytes at a time: so many that a thread which waits for the interpreter in between hardly waits
HERE = -100  # AT_FDCWD: a path is seen from the working folder
EXCHANGE = 2  # RENAME_EXCHANGE


def write_whole(path: Path, content: bytes) -> None:
    """The new file or the old one, never half of one."""
    beside = part_of(path)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    flush(path.parent)


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """An empty folder to fill; put in its place when the block ends well, where it replaces an older one; removed when not."""
    beside = part_of(place)
    if beside.exists():
        shutil.rmtree(beside)
    beside.mkdir(parents=True)
    try:
        yield beside
        for path in beside.iterdir():
            flush(path)
        flush(beside)
        put(beside, place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def put(beside: Path, place: Path) -> None:
    """Rename a finished folder to its place."""
    if place.exists():
        swap(beside, place)
    else:
        os.rename(beside, place)
    flush(place.parent)
    shutil.rmtree(beside, ignore_errors=True)


def swap(one: Path, other: Path) -> None:
    """Exchange two folders: in one step where the system can, else in three."""
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange is not None and exchange(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return
    aside = other.with_name(f".{other.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)


def remove_folder(folder: Path) -> None:
    """Rename first: what a kill leaves of it does not stand under its name."""
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        os.rename(folder, gone)
        shutil.rmtree(gone)


def sweep(folder: Path) -> None:
    """Remove what a kill left of folders being written or removed."""
    for path in folder.glob(".*"):
        if path.suffix in (".part", ".gone", ".old"):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def scratch_folder(place: Path, name: str) -> Iterator[Path]:
    """An empty folder in a place, made where it is missing, gone when the block ends; first go those that killed processes of this machine left."""
    place.mkdir(parents=True, exist_ok=True)
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    for left in place.glob(f".{name}-{host}-*"):
        owner = left.name.split("-")[-2]
        if owner.isdecimal() and not is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-{host}-{os.getpid()}-", dir=place) as folder:
        yield Path(folder)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def part_of(path: Path) -> Path:
    """Where a file or folder is written before it is whole."""
    return path.with_name(f".{path.name}.part")


def flush(path: Path) -> None:
    """Make sure of a file, or of a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found, room = hashlib.sha256(), memoryview(bytearray(DIGESTED))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(room):
            found.update(room[:count])
    return found.hexdigest()


def digest_beside(path: Path) -> Future[str]:
    """The same from a thread: most of it needs neither the interpreter nor this one."""
    worker = ThreadPoolExecutor(1, thread_name_prefix="digest")
    found = worker.submit(digest, path)
    worker.shutdown(wait=False)
    return found


def open_plain(path: Path) -> BinaryIO:
    """A plain file, opened without following a link or waiting for a pipe. Raises OSError for anything else."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError("not a plain file")
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)), "rb")
