"""All pictures of a column as one array; many small ones by processes beside this one, where Python's lock keeps threads from it.

A helper is a fresh interpreter: nothing of the calling program is imported again or forked. It is told cells, answers pixels, and ends when its
pipe does, so a killed program leaves none behind. N pictures, C channels, H x W pixels.
"""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from luban import cores, memory
from luban.pictures import SMALL_S, decode_cells

LOOKED = 256  # pictures that are decoded, and timed, before helpers are thought of
WORTH_S = 1.0  # of work that is left; to start a helper takes about half as long
PIECE_S = 0.05  # of work that is handed over at once
IDLE_S = 2.0  # that a helper waits for more work
MOST_HELPERS, ROOM = 8, 200_000_000  # bytes that must be free for each, which is three times what it holds
LENGTH = struct.Struct("<Q")
ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Pixels = tuple[np.ndarray, dict[int, str]]  # (N, C, H, W) uint8, black where a place is at fault; place -> why
Ask = Callable[[list[Any]], Pixels]


def decode_all(cells: list[Any], size: tuple[int, int], channels: int) -> Pixels:
    """Every picture as `pictures.decode_cell` has it."""
    cells, begun = list(map(bare, cells)), time.perf_counter()
    first, faults = decoded(cells[:LOOKED], size, channels)
    seconds, left = (time.perf_counter() - begun) / max(1, len(first)), len(cells) - len(first)
    if not left:
        return first, faults
    out = np.zeros((len(cells), channels, *size), np.uint8)
    out[: len(first)] = first
    helpers = most_helpers() if SMALL_S > seconds > WORTH_S / left else 0
    step = max(1, int(PIECE_S / max(seconds, 1e-6))) if helpers else left
    Shared(cells, out, faults, step).decode(len(first), helpers)
    return out, faults


def most_helpers() -> int:
    """One for each core, as far as memory allows; none beside a single one."""
    found = min(MOST_HELPERS, cores.allowed(), memory.free() // ROOM) if sys.executable else 0
    return found if found > 1 else 0


def bare(cell: Any) -> bytes | str | None:
    """Bytes or a path, out of a table of either."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    return cell if cell is None or isinstance(cell, bytes) else str(cell)


def decoded(cells: list[Any], size: tuple[int, int], channels: int) -> Pixels:
    """The same in this process."""
    out, faults = np.zeros((len(cells), channels, *size), np.uint8), dict[int, str]()
    for place, (array, reason) in enumerate(decode_cells(cells, size, channels)):
        if array is None:
            faults[place] = reason
        else:
            out[place] = array
    return out, faults


class Shared:
    """Pieces of the work, taken by helpers as each becomes free; by this process till they have begun: then it would keep their answers waiting."""

    def __init__(self, cells: list[Any], out: np.ndarray, faults: dict[int, str], step: int) -> None:
        self.cells, self.out, self.faults, self.step = cells, out, faults, step
        self.channels, self.size = out.shape[1], out.shape[2:]
        self.lock, self.lost, self.beginning = threading.Lock(), list[int](), 0

    def decode(self, first: int, helpers: int) -> None:
        """All pictures from this one on."""
        self.starts, self.beginning = iter(range(first, len(self.cells), self.step)), helpers
        threads = [threading.Thread(target=self.helped, name=f"helper_{number}", daemon=True) for number in range(helpers)]
        for thread in threads:
            thread.start()
        try:
            while self.beginning and (start := self.take()) is not None:
                self.put(start, self.here)
            for thread in threads:
                thread.join()
            while (start := self.take()) is not None:  # without helpers, or when all of them died
                self.put(start, self.here)
        finally:
            self.starts = iter(())  # interrupted, the helpers stop too
            for thread in threads:
                thread.join()
        for start in self.lost:
            self.put(start, self.here)

    def take(self) -> int | None:
        """Where the next piece begins."""
        with self.lock:
            return next(self.starts, None)

    def put(self, start: int, ask: Ask) -> None:
        """One piece in its place."""
        array, faults = ask(self.cells[start : start + self.step])
        self.out[start : start + self.step] = array
        with self.lock:
            self.faults.update({start + place: why for place, why in faults.items()})

    def here(self, cells: list[Any]) -> Pixels:
        """Decoded by this process."""
        return decoded(cells, self.size, self.channels)

    def helped(self) -> None:
        """Pieces for one helper; the piece of one that failed, however it did, is left to this process."""
        start = None
        try:
            with POOL.borrowed() as helper:
                with self.lock:
                    self.beginning -= 1
                while (start := self.take()) is not None:
                    self.put(start, lambda cells: helper.ask(cells, self.size, self.channels))
        except Exception:  # noqa: BLE001 no picture may be left black because a helper answered nonsense
            if start is not None:
                self.lost.append(start)


class Helper:
    """A process that decodes. Raises OSError or EOFError where it can't be started or dies."""

    def __init__(self) -> None:
        paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from luban.decoding import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,  # Ctrl-C is for this process
            env=os.environ | ALONE | {"PYTHONPATH": paths},
        )  # fmt: skip
        self.ready = False
        self.sink, self.source = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)

    def wait(self) -> None:
        """Until it has begun."""
        self.ready = self.ready or receive(self.source) == b""

    def ask(self, cells: list[Any], size: tuple[int, int], channels: int) -> Pixels:
        """What it decodes."""
        send(self.sink, json.dumps([size, channels, [len(cell) if isinstance(cell, bytes) else cell for cell in cells]]).encode())
        send(self.sink, b"".join(cell for cell in cells if isinstance(cell, bytes)))
        faults = {int(place): why for place, why in json.loads(receive(self.source)).items()}
        return np.frombuffer(receive(self.source), np.uint8).reshape(len(cells), channels, *size), faults

    def close(self, *, now: bool = False) -> None:
        """Its pipe; it ends, now or with what it does, and is waited for."""
        if now:
            self.process.kill()
        with suppress(OSError):
            self.sink.close()
        self.source.close()
        self.process.wait()


class Pool:
    """Helpers that are free, kept for the next column or chunk that follows at once."""

    def __init__(self) -> None:
        self.idle, self.lock, self.timer = list[Helper](), threading.Lock(), None

    def forget(self) -> None:
        """In a forked process: those that are free belong to the other one."""
        self.idle, self.lock = [], threading.Lock()

    @contextmanager
    def borrowed(self) -> Iterator[Helper]:
        """A helper that is ready."""
        with self.lock:
            helper = self.idle.pop() if self.idle else None
        helper = helper or Helper()
        try:
            helper.wait()
            yield helper
        except BaseException:
            helper.close(now=True)
            raise
        self.keep(helper)

    def keep(self, helper: Helper) -> None:
        """For a while."""
        with self.lock:
            self.idle.append(helper)
            if self.timer is not None:
                self.timer.cancel()
            self.timer = threading.Timer(IDLE_S, self.close)
            self.timer.daemon = True
            self.timer.start()

    def close(self) -> None:
        """All that are free."""
        with self.lock:
            free, self.idle = self.idle, []
        for helper in free:
            helper.close()


POOL = Pool()
os.register_at_fork(after_in_child=POOL.forget)


def serve() -> None:
    """Decode for another process until it closes the pipe."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    send(sink, b"")
    while True:
        try:
            size, channels, cells = json.loads(receive(source))
            body = io.BytesIO(receive(source))
        except EOFError:
            return
        array, faults = decoded([body.read(cell) if isinstance(cell, int) else cell for cell in cells], size, channels)
        send(sink, json.dumps(faults).encode())
        send(sink, array.data)


def send(sink: IO[bytes], data: bytes | memoryview) -> None:
    """A message, its length before it."""
    sink.write(LENGTH.pack(len(data) if isinstance(data, bytes) else data.nbytes))
    sink.write(data)
    sink.flush()


def receive(source: IO[bytes]) -> bytes:
    """The next message. Raises EOFError where the other side is gone."""
    length = LENGTH.unpack(whole(source, LENGTH.size))[0]
    return whole(source, length)


def whole(source: IO[bytes], length: int) -> bytes:
    """So many bytes. Raises EOFError where they end before."""
    if len(data := source.read(length)) < length:
        raise EOFError
    return data
