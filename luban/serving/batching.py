"""Requests answered together: they wait in a bounded line, and a model's workers take as many as stand there.

Under load the batch grows by itself, for others come while one is computed; alone, a request never waits for company. Of two workers each takes its
share, so that one reads its rows while the other's net computes. Who has left, and who has waited too long, is not computed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from luban.errors import logger
from luban.serving import problems
from luban.serving.body import Gone, Receive
from luban.serving.pace import Forecast
from luban.serving.rows import Rows
from luban.serving.settings import Limits

FEWEST = 8  # requests that are never shared out
WATCH_S = 0.05  # after which somebody looks whether the client is still there
Answer = Callable[[list[Rows]], list[Any]]  # answers, or an exception, one for each request


@dataclass(eq=False)
class Work:
    """One request's rows, and whom to tell."""

    rows: Rows
    until: float  # time.monotonic
    future: asyncio.Future[Any]
    asked: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it, or not any more."""
        return self.future.done() or time.monotonic() > self.until


class Batcher:
    """The line in front of one model. `submit` belongs to the loop, `answer` runs in each worker's thread."""

    def __init__(
        self, answer: Answer, limits: Limits, *, name: str, seen: Callable[[int, int, float], None] = lambda *_: None, workers: int = 1
    ) -> None:
        self.answer, self.limits, self.seen = answer, limits, seen
        self.line: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.held: Any = None  # taken from the line, and left for the next batch
        self.requests, self.rows = 0, 0  # admitted and not yet answered; counted by the loop alone
        self.forecast = Forecast(limits.wait_s, limits.batch_rows)
        self.crowd = False
        self.taking, self.counting = threading.Lock(), threading.Lock()
        self.working = 0  # workers that compute
        self.workers = [threading.Thread(target=self.work, name=f"batch-{name}", daemon=True) for _ in range(workers)]
        for worker in self.workers:
            worker.start()

    def admit(self) -> None:
        """Raises RequestError L612 where one more could not be answered in time."""
        wait_s = self.forecast.wait(self.rows + 1, self.requests)
        late = wait_s > self.limits.wait_s and self.requests >= self.limits.always
        if late or self.requests >= self.limits.waiting:
            raise problems.overloaded(round(wait_s))

    async def submit(self, rows: Rows, within_s: float, receive: Receive | None = None) -> Any:
        """The answers to these rows. Raises RequestError L612, L615, and Gone where `receive` says that the client left."""
        self.admit()
        loop = asyncio.get_running_loop()
        work = Work(rows, time.monotonic() + within_s, loop.create_future())
        timers = [loop.call_later(within_s, expire, work)]
        watching: list[asyncio.Task[None]] = []
        if receive is not None:
            timers.append(loop.call_later(WATCH_S, lambda: watching.append(loop.create_task(watch(work, receive)))))
        self.requests += 1
        self.rows += rows.count
        foretold_s = self.forecast.plain(self.rows, self.requests)
        self.line.put(work)
        try:
            answer = await work.future
            self.forecast.learn(foretold_s, time.monotonic() - work.asked)
            return answer
        finally:
            for timer in (*timers, *watching):
                timer.cancel()
            self.requests -= 1
            self.rows -= rows.count

    def stop(self) -> None:
        """Let the workers end once the line is empty."""
        self.line.put(STOP)
        for worker in self.workers:
            worker.join(self.limits.drain_s)

    def work(self) -> None:
        """Batch after batch, until told to stop."""
        while True:
            with self.taking:
                batch, last = self.take()
            if last:
                self.line.put(STOP)  # for the next worker
            if batch:
                self.run(batch)
            if last:
                return

    def take(self) -> tuple[list[Work], bool]:
        """As many requests as fit together, without those that nobody waits for; and whether they are the last."""
        first = self.held or self.line.get()
        self.held = None
        if first is STOP:
            return [], True
        batch, rows, size = [first], first.rows.count, first.rows.bytes
        while len(batch) < self.share() and (more := self.company(first)) is not None:
            if more is STOP:
                return wanted(batch), True
            rows, size = rows + more.rows.count, size + more.rows.bytes
            if rows > self.limits.batch_rows or size > self.limits.batch_bytes:
                self.held = more
                break
            batch.append(more)
        self.crowd = len(batch) > 1
        return wanted(batch), False

    def share(self) -> int:
        """How many requests are one worker's."""
        return max(FEWEST, -(-self.requests // len(self.workers)))

    def company(self, first: Any) -> Any:
        """Another request that stands there, or comes within the time a batch may wait where the last one had company."""
        try:
            return self.line.get_nowait()
        except queue.Empty:
            left = first.asked + self.limits.linger_s - time.monotonic()
        if not self.crowd or left <= 0:
            return None
        try:
            return self.line.get(timeout=left)
        except queue.Empty:
            return None

    def run(self, batch: list[Work]) -> None:
        """Answer, and tell each loop once."""
        begun = time.monotonic()
        with self.counting:
            self.working = beside = self.working + 1
        try:
            answers = self.answer([work.rows for work in batch])
        except Exception as error:  # noqa: BLE001 whoever waits must be told, whatever it was
            logger.error("%s: %s", threading.current_thread().name, type(error).__name__)
            answers = [error] * len(batch)
        seconds, count = time.monotonic() - begun, sum(work.rows.count for work in batch)
        with self.counting:
            self.working -= 1
            self.forecast.pace.learn(count, seconds / beside)
        self.seen(len(batch), count, seconds)
        batch[0].future.get_loop().call_soon_threadsafe(deliver, batch, answers)


STOP = object()


def wanted(batch: list[Work]) -> list[Work]:
    """Those that somebody still waits for."""
    return [work for work in batch if not work.idle]


async def watch(work: Work, receive: Receive) -> None:
    """Nobody waits once the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    if not work.future.done():
        work.future.set_exception(Gone())


def expire(work: Work) -> None:
    """Its time is over."""
    if not work.future.done():
        work.future.set_exception(problems.expired())


def deliver(batch: list[Work], answers: list[Any]) -> None:
    """On the loop: each future its answer."""
    for work, answer in zip(batch, answers, strict=True):
        if work.future.done():
            continue
        if isinstance(answer, BaseException):
            work.future.set_exception(answer)
        else:
            work.future.set_result(answer)
