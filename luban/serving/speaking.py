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
    """What is said to one request: one choice or more, each a part of its own."""

    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[tuple[int, Piece | Exception]] = field(default_factory=asyncio.Queue)
    parts: list[Part] = field(default_factory=list)
    left: bool = False

    @property
    def choices(self) -> int:
        """How many."""
        return len(self.parts)

    @property
    def likeliest(self) -> int | None:
        """How many tokens are told of each place; None = none."""
        return self.parts[0].wish.likeliest

    async def heard(self) -> tuple[int, Piece]:
        """The next piece, and of which choice. Raises RequestError, and Gone where the client left."""
        place, piece = await self.pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return place, piece

    async def watch(self, receive: Receive) -> None:
        """Whoever left waits for nothing."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.pieces.put_nowait((0, Gone()))


@dataclass(eq=False)
class Part:
    """One choice on its way."""

    saying: Saying
    place: int
    number: int
    model: Model
    wish: Wish
    asked: float  # time.monotonic
    until: float  # of the first piece; then of the last


class Speaker:
    """The thread of one model. `begin` and `end` belong to the loop, all else to the thread."""

    def __init__(self, limits: Limits, *, name: str, seen: Seen = lambda piece: None, now: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.seen, self.now, self.count = limits, seen, now, 0
        self.numbers = itertools.count()
        self.line: queue.SimpleQueue[list[Part] | Model | None] = queue.SimpleQueue()
        self.parts: dict[int, Part] = {}
        self.desks: dict[int, tuple[Model, Desk]] = {}  # a version's, by its identity; the newest last
        self.ending = False
        self.thread = threading.Thread(target=self.work, name=f"speak-{name}", daemon=True)
        self.thread.start()

    def prepare(self, model: Model) -> None:
        """Make ready for a version before somebody asks for it."""
        self.line.put(model)

    def begin(self, model: Model, *wishes: Wish) -> Saying:
        """Put the choices of an answer in the line. Raises RequestError L612 where they have no room."""
        if self.count + len(wishes) > self.limits.streams + self.limits.waiting_streams:
            raise problems.overloaded(1)
        saying, now = Saying(asyncio.get_running_loop()), self.now()
        until = now + self.limits.answer_s
        saying.parts = [Part(saying, place, next(self.numbers), model, wish, now, until) for place, wish in enumerate(wishes)]
        self.count += len(wishes)
        self.line.put(saying.parts)  # together: what is wrong with one is told before any other is begun
        return saying

    def end(self, saying: Saying) -> None:
        """Nobody listens any more; on the loop, once for each answer."""
        saying.left = True
        self.count -= saying.choices

    def stop(self) -> None:
        """Let the thread end once everything is said."""
        self.line.put(None)
        self.thread.join(self.limits.drain_s)

    def work(self) -> None:
        """Step after step."""
        while not (self.ending and not self.parts):
            self.welcome()
            self.let_go()
            for key in list(self.desks):
                self.step(key)

    def welcome(self) -> None:
        """Take in who came; with nothing to say wait for somebody."""
        while not self.ending and (not self.parts or not self.line.empty()):
            came = self.line.get()
            if came is None:
                self.ending = True
            elif isinstance(came, list):
                for part in came:
                    self.take(part)
            else:
                self.open_early(came)

    def take(self, part: Part) -> None:
        """Give a choice to the desk of its version."""
        self.parts[part.number] = part
        try:
            self.desk(part.model).take(part.number, part.wish)
        except Exception as error:  # noqa: BLE001 whoever listens must be told, whatever it was
            self.tell([(part.number, error)])

    def open_early(self, model: Model) -> None:
        """What fails here is told to the first who asks."""
        try:
            self.desk(model)
        except Exception as error:  # noqa: BLE001 it is tried again for whoever asks
            logger.error("%s: %s", self.thread.name, type(error).__name__)

    def desk(self, model: Model) -> Desk:
        """Of a version; older ones go as soon as their last answer has ended."""
        if id(model) not in self.desks:
            self.desks[id(model)] = model, desk_of(model, self.limits)
        return self.desks[id(model)][1]

    def let_go(self) -> None:
        """Who left, and whose time is over, leaves the batch before the next step."""
        now = self.now()
        for part in list(self.parts.values()):
            if part.saying.left or now > part.until:
                self.desk(part.model).drop(part.number)
                self.tell([(part.number, problems.expired())])

    def step(self, key: int) -> None:
        """One step of one version's answers; a failure is told to all of them."""
        model, desk = self.desks[key]
        own = [number for number, part in self.parts.items() if part.model is model]
        if not own:
            if key != next(reversed(self.desks)):
                del self.desks[key]
            return
        try:
            self.tell(list(desk.step()))
        except Exception as error:  # noqa: BLE001 whoever listens must be told, whatever it was
            del self.desks[key]
            self.tell([(number, error) for number in own if number in self.parts])

    def tell(self, found: list[tuple[int, Piece | Exception]]) -> None:
        """From the thread to the loop, once a step."""
        out: list[tuple[Part, Piece | Exception]] = []
        for number, piece in found:
            part = self.parts[number]
            if isinstance(piece, Piece):
                self.seen(piece)
                part.until = part.asked + self.limits.speak_s
            else:
                piece = self.told_as(piece)
            if isinstance(piece, Exception) or piece.finish:
                del self.parts[number]
            out.append((part, piece))
        if out:
            out[0][0].saying.loop.call_soon_threadsafe(deliver, out)

    def told_as(self, error: Exception) -> problems.RequestError:
        """What is told of an error: the request's own fault by its code, ours by the log's line only."""
        if isinstance(error, problems.RequestError):
            return error
        if isinstance(error, LubanError):
            return problems.unanswerable(error)
        logger.error("%s: %s", self.thread.name, type(error).__name__)
        return problems.internal()


def deliver(found: list[tuple[Part, Piece | Exception]]) -> None:
    """On the loop: each its piece."""
    for part, piece in found:
        part.saying.pieces.put_nowait((part.place, piece))
