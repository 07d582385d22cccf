"""Answers piece by piece: one thread a model, which goes from step to step, takes in who comes and lets go of who left or waited too long."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from luban.bundle.model import Model
from luban.errors import LubanError, logger
from luban.serving import problems
from luban.serving.body import Gone, Receive
from luban.serving.desks import Desk, Piece, Wish, desk_of
from luban.serving.settings import Limits

Seen = Callable[[Piece], None]


@dataclass(eq=False)
class Saying:
    """One answer on its way."""

    number: int
    model: Model
    wish: Wish
    asked: float  # time.monotonic
    until: float  # of the first piece; then of the last
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)
    left: bool = False

    async def next(self) -> Piece:
        """The next piece. Raises RequestError, and Gone where the client left."""
        piece = await self.pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def watch(self, receive: Receive) -> None:
        """Whoever left waits for nothing."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.pieces.put_nowait(Gone())


class Speaker:
    """The thread of one model. `begin` and `end` belong to the loop, all else to the thread."""

    def __init__(self, limits: Limits, *, name: str, seen: Seen = lambda piece: None, now: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.seen, self.now, self.count = limits, seen, now, 0
        self.numbers = itertools.count()
        self.line: queue.SimpleQueue[Saying | None] = queue.SimpleQueue()
        self.sayings: dict[int, Saying] = {}
        self.desks: dict[int, tuple[Model, Desk]] = {}  # a version's, by its identity; the newest last
        self.ending = False
        self.thread = threading.Thread(target=self.work, name=f"speak-{name}", daemon=True)
        self.thread.start()

    def begin(self, model: Model, wish: Wish) -> Saying:
        """Put an answer in the line. Raises RequestError L612 where it is full."""
        if self.count >= self.limits.streams + self.limits.waiting_streams:
            raise problems.overloaded(1)
        saying = Saying(next(self.numbers), model, wish, now := self.now(), now + self.limits.answer_s, asyncio.get_running_loop())
        self.count += 1
        self.line.put(saying)
        return saying

    def end(self, saying: Saying) -> None:
        """Nobody listens any more; on the loop, once for each answer."""
        saying.left = True
        self.count -= 1

    def stop(self) -> None:
        """Let the thread end once everything is said."""
        self.line.put(None)
        self.thread.join(self.limits.drain_s)

    def work(self) -> None:
        """Step after step."""
        while not (self.ending and not self.sayings):
            self.welcome()
            self.let_go()
            for key in list(self.desks):
                self.step(key)

    def welcome(self) -> None:
        """Take in who came; with nothing to say wait for somebody."""
        while not self.ending and (not self.sayings or not self.line.empty()):
            saying = self.line.get()
            if saying is None:
                self.ending = True
                return
            self.sayings[saying.number] = saying
            try:
                self.desk(saying.model).take(saying.number, saying.wish)
            except Exception as error:  # noqa: BLE001 whoever listens must be told, whatever it was
                self.tell([(saying.number, error)])

    def desk(self, model: Model) -> Desk:
        """Of a version; older ones go as soon as their last answer has ended."""
        if id(model) not in self.desks:
            self.desks[id(model)] = model, desk_of(model, self.limits)
        return self.desks[id(model)][1]

    def let_go(self) -> None:
        """Who left, and whose time is over, leaves the batch before the next step."""
        now = self.now()
        for saying in list(self.sayings.values()):
            if saying.left or now > saying.until:
                self.desk(saying.model).drop(saying.number)
                self.tell([(saying.number, problems.expired())])

    def step(self, key: int) -> None:
        """One step of one version's answers; a failure is told to all of them."""
        model, desk = self.desks[key]
        own = [number for number, saying in self.sayings.items() if saying.model is model]
        if not own:
            if key != next(reversed(self.desks)):
                del self.desks[key]
            return
        try:
            self.tell(list(desk.step()))
        except Exception as error:  # noqa: BLE001 whoever listens must be told, whatever it was
            del self.desks[key]
            self.tell([(number, error) for number in own if number in self.sayings])

    def tell(self, found: list[tuple[int, Piece | Exception]]) -> None:
        """From the thread to the loop, once a step."""
        out: list[tuple[Saying, Piece | Exception]] = []
        for number, piece in found:
            saying = self.sayings[number]
            if isinstance(piece, Piece):
                self.seen(piece)
                saying.until = saying.asked + self.limits.speak_s
            else:
                piece = self.told_as(piece)
            if isinstance(piece, Exception) or piece.finish:
                del self.sayings[number]
            out.append((saying, piece))
        if out:
            out[0][0].loop.call_soon_threadsafe(deliver, out)

    def told_as(self, error: Exception) -> problems.RequestError:
        """What is told of an error: the request's own fault by its code, ours by the log's line only."""
        if isinstance(error, problems.RequestError):
            return error
        if isinstance(error, LubanError):
            return problems.unanswerable(error)
        logger.error("%s: %s", self.thread.name, type(error).__name__)
        return problems.internal()


def deliver(found: list[tuple[Saying, Piece | Exception]]) -> None:
    """On the loop: each its piece."""
    for saying, piece in found:
        saying.pieces.put_nowait(piece)
