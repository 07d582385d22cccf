"""SIGTERM: not ready first, what was begun is answered, exit code 0; nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from luban.serving import server

DRAINS = 3
BODY = json.dumps({"row": {"t": "nice", "x": 1}}).encode()
REQUEST = (
    b"POST /v1/predict/linear HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY
)


@contextmanager
def started(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service of its own process, once it listens."""
    command = [sys.executable, "-m", "luban", "serve", f"linear={bundle}", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " at http://127.0.0.1:" in line or "：http" in line, line
        yield process, int(line.rsplit(":", 1)[1])
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def one(port: int, seen: Counter[str], stop: asyncio.Event) -> None:
    """Ask again and again on one connection; on another where told to close; end where nobody listens."""
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            seen["refused"] += 1
            return
        try:
            while True:
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen[head.split(b" ", 2)[1].decode()] += 1
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            seen["lost"] += 1
        finally:
            writer.close()


async def load(process: subprocess.Popen[str], port: int, clients: int, seconds: float) -> Counter[str]:
    """So many clients; after a while the signal."""
    seen: Counter[str] = Counter()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(one(port, seen, stop)) for _ in range(clients)]
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    await asyncio.wait(tasks, timeout=20)
    stop.set()
    for task in tasks:
        task.cancel()
    return seen


def drain(bundle: Path, number: int) -> Counter[str]:
    """One service, stopped under load."""
    with started(bundle, "--limit", "leave_s=0.3") as (process, port):
        seen = asyncio.run(load(process, port, 16, 0.3 + 0.05 * (number % 5)))
        assert process.wait(30) == 0
        return seen


def check(seen: Counter[str]) -> None:
    assert seen["lost"] == 0, seen
    assert seen["200"] > 20, seen
    assert set(seen) <= {"200", "429", "refused"}, seen


@pytest.mark.parametrize("number", range(DRAINS))
def test_drains_under_load_lose_nothing(number: int, shelf: dict[str, Path]) -> None:
    check(drain(shelf["linear"], number))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(100))
def test_a_hundred_drains(number: int, shelf: dict[str, Path]) -> None:
    check(drain(shelf["linear"], number))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what begins a connection")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_was_greeted_is_taken_in_and_nobody_else_is_greeted(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as door, socket.socket(family) as early, socket.socket(family) as late:
        try:
            door.bind((host, 0))
        except OSError:
            pytest.skip("no such address here")
        door.listen()
        early.connect(door.getsockname())
        assert server.greet_nobody(door)
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(door.getsockname())
        inside, _ = door.accept()
        with inside:
            early.sendall(b"a request that came late")
            assert inside.recv(100) == b"a request that came late"


def test_it_is_not_ready_before_it_leaves(shelf: dict[str, Path]) -> None:
    async def ready(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        out = await reader.readline()
        writer.close()
        return out

    with started(shelf["linear"], "--limit", "leave_s=1.5") as (process, port):
        assert b" 200 " in asyncio.run(ready(port))
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        assert b" 503 " in asyncio.run(ready(port))
        assert process.wait(30) == 0


def test_the_second_signal_leaves_at_once(shelf: dict[str, Path]) -> None:
    with started(shelf["linear"], "--limit", "leave_s=500") as (process, _):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_it_leaves_though_nobody_reads_its_words(shelf: dict[str, Path]) -> None:
    """Whoever started it, and read what it said, may be gone."""
    with started(shelf["number"], "--limit", "leave_s=0.1") as (process, _):
        process.stderr.close()  # type: ignore[union-attr]
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
