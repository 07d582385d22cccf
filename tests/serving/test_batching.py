"""Requests answered together are answered as if they were alone; what cannot be answered in time is refused at once."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from running import ANYWHERE, Answer, Running, running
from test_routes import near, rows_of

import luban
from luban.serving.app import Service
from luban.serving.batching import Batcher
from luban.serving.body import Gone
from luban.serving.problems import RequestError
from luban.serving.rows import Rows, hold
from luban.serving.settings import Limits


def some(count: int = 1) -> Rows:
    return Rows({"x": [1.0] * count}, count, 8 * count, ("float",))


class Slow:
    """Answers each request by its number of rows, after a while; remembers what it was given."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.batches = seconds, []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, requests: list[Rows]) -> list[Any]:
        self.batches.append([rows.count for rows in requests])
        self.go.wait(10)
        time.sleep(self.seconds)
        return [rows.count for rows in requests]


def run(slow: Slow, limits: Limits, script: Any, workers: int = 1) -> Any:
    batcher = Batcher(slow, limits, name="test", workers=workers)
    try:
        return asyncio.run(script(batcher))
    finally:
        getattr(slow, "go", threading.Event()).set()
        batcher.stop()
        assert not any(worker.is_alive() for worker in batcher.workers)


def test_who_waits_is_answered_together() -> None:
    slow = Slow(0.05)

    async def script(batcher: Batcher) -> list[int]:
        return await asyncio.gather(*(batcher.submit(some(1 + i % 3), 10) for i in range(20)))

    assert run(slow, Limits(), script) == [1 + i % 3 for i in range(20)]
    assert len(slow.batches) <= 3


class Meeting:
    """Answers as `Slow` does, the first time only once another batch is under way beside it."""

    def __init__(self) -> None:
        self.lock, self.met, self.under_way, self.batches = threading.Lock(), threading.Event(), 0, []

    def __call__(self, requests: list[Rows]) -> list[Any]:
        with self.lock:
            self.under_way += 1
            self.batches.append(len(requests))
            if self.under_way == 2:
                self.met.set()
        self.met.wait(10)
        with self.lock:
            self.under_way -= 1
        return [rows.count for rows in requests]


def test_two_workers_share_what_stands_there_and_compute_beside_each_other() -> None:
    meeting = Meeting()

    async def script(batcher: Batcher) -> list[int]:
        answers = await asyncio.gather(*(batcher.submit(some(1 + i % 3), 20) for i in range(40)))
        assert (batcher.working, batcher.requests) == (0, 0)
        return answers

    assert run(meeting, Limits(), script, workers=2) == [1 + i % 3 for i in range(40)]  # type: ignore[arg-type]
    assert sum(meeting.batches) == 40
    assert meeting.met.is_set()
    assert max(meeting.batches) <= 20


def test_what_batches_take_beside_each_other_is_counted_once() -> None:
    async def script(batcher: Batcher) -> float:
        await asyncio.gather(*(batcher.submit(some(), 20) for _ in range(200)))
        return batcher.forecast.pace.wait(100, 256)

    alone, beside = (run(Slow(0.1), Limits(batch_rows=10), script, workers=workers) for workers in (1, 2))
    assert beside < 0.85 * alone


def test_a_batch_has_a_budget() -> None:
    slow = Slow(0.01)

    async def script(batcher: Batcher) -> list[int]:
        return await asyncio.gather(*(batcher.submit(some(3), 10) for _ in range(11)))

    assert run(slow, Limits(batch_rows=7), script) == [3] * 11
    assert max(sum(batch) for batch in slow.batches) <= 7
    slow = Slow(0.01)
    assert run(slow, Limits(batch_bytes=50), script) == [3] * 11
    assert max(len(batch) for batch in slow.batches) == 2  # 24 bytes each


def test_alone_nobody_waits_for_company() -> None:
    async def script(batcher: Batcher) -> float:
        begun = time.monotonic()
        for _ in range(5):
            await batcher.submit(some(), 10)
        return time.monotonic() - begun

    assert run(Slow(0), Limits(linger_s=1.0), script) < 1.0


def test_whoever_left_or_waited_too_long_is_not_computed() -> None:
    slow = Slow(0)
    slow.go.clear()

    async def leave() -> dict[str, str]:
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def script(batcher: Batcher) -> list[Any]:
        first = asyncio.create_task(batcher.submit(some(1), 10))
        await asyncio.sleep(0.05)
        others = [batcher.submit(some(5), 0.1), batcher.submit(some(7), 10, leave), batcher.submit(some(9), 10)]
        tasks = [asyncio.create_task(other) for other in others]
        await asyncio.sleep(0.4)
        slow.go.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    first, late, left, last = run(slow, Limits(), script)
    assert (first, last) == (1, 9)
    assert isinstance(late, RequestError)
    assert (late.code, late.status) == ("L615", 503)
    assert isinstance(left, Gone)
    assert slow.batches == [[1], [9]]


def test_the_line_is_bounded() -> None:
    slow = Slow(0)
    slow.go.clear()

    async def script(batcher: Batcher) -> list[Any]:
        tasks = [asyncio.create_task(batcher.submit(some(), 10)) for _ in range(9)]
        await asyncio.sleep(0.1)
        slow.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = run(slow, Limits(waiting=6), script)
    assert found[:6] == [1] * 6
    assert [(error.code, error.status, error.retry_s) for error in found[6:]] == [("L612", 429, 1)] * 3


def test_what_would_wait_too_long_is_refused() -> None:
    slow = Slow(0.05)

    async def script(batcher: Batcher) -> list[Any]:
        await batcher.submit(some(), 10)  # 0.05 s a row
        return await asyncio.gather(*(batcher.submit(some(), 10) for _ in range(12)), return_exceptions=True)

    found = run(slow, Limits(always=2, wait_s=0.2), script)
    assert 5 <= found.count(1) <= 8
    assert {getattr(error, "code", "") for error in found if error != 1} == {"L612"}


def test_a_failure_is_told_to_each_and_the_line_goes_on() -> None:
    def broken(requests: list[Rows]) -> list[Any]:
        if any(rows.count == 2 for rows in requests):
            raise ValueError("no")
        return [rows.count for rows in requests]

    async def script(batcher: Batcher) -> list[Any]:
        bad = await asyncio.gather(batcher.submit(some(2), 10), return_exceptions=True)
        return [*bad, await batcher.submit(some(3), 10)]

    found = run(broken, Limits(), script)  # type: ignore[arg-type]
    assert isinstance(found[0], ValueError)
    assert found[1] == 3


@pytest.fixture(scope="module")
def busy(shelf: dict[str, Path]) -> Iterator[Running]:
    with running(Service(list(shelf.items()), limits=Limits(always=500), place=ANYWHERE)) as found:
        yield found


@pytest.mark.parametrize("base", ["mixed", "linear", "picture", "series", "boosted"])
def test_neighbours_change_nothing(base: str, busy: Running, shelf: dict[str, Path]) -> None:
    rows = rows_of(base, 40)
    answers = luban.load(shelf[base]).predict(
        [hold([row], busy.service.shelf.find(base).inputs, Limits()).table().to_dicts()[0] for row in rows]
    )
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda row: busy.post(f"/v1/predict/{base}", {"row": row}), rows * 3))
    assert [answer.json["answer"] for answer in found] == [near(answer) for answer in answers] * 3
    metrics = busy.get("/metrics").body.decode()
    assert any(line.startswith(f'luban_batch_rows_bucket{{le="1.0",model="{base}"}}') for line in metrics.splitlines())


def test_cells_of_other_types_beside_change_nothing(busy: Running, shelf: dict[str, Path]) -> None:
    """A name 1 beside a name "a" would be read otherwise than alone: such rows are never put into one table."""
    rows = [{"x": x, "c": c} for x in (1, 2.5, "1,234", None, True) for c in (1, 2.0, "Wien", None, True, "1")]
    model = luban.load(shelf["boosted"])
    wanted = [model.predict([row])[0] for row in rows]
    with ThreadPoolExecutor(30) as pool:
        found: list[Answer] = list(pool.map(lambda row: busy.post("/v1/predict/boosted", {"row": row}), rows))
    assert [answer.json["answer"] for answer in found] == [near(answer) for answer in wanted]


def test_who_hangs_up_is_forgotten(busy: Running) -> None:
    body = b'{"row": {"x": 1, "c": "Wien"}}'
    head = b"POST /v1/predict/boosted HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", busy.port)) as connection:
            connection.sendall(head + body)
    until = time.monotonic() + 5
    while busy.service.shelf.find("boosted").batcher.requests and time.monotonic() < until:
        time.sleep(0.02)
    assert busy.service.shelf.find("boosted").batcher.requests == 0
    assert busy.post("/v1/predict/boosted", {"row": {"x": 1, "c": "Wien"}}).status == 200
