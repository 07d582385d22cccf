"""Answers piece by piece (capability Streams): one thread a model goes round those who are being answered, a step for each, so that all move on together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch

from luban.bundle.model import Model
from luban.draw import Draw
from luban.errors import LubanError, logger
from luban.messages import said
from luban.schema import validate
from luban.serving import problems
from luban.serving.settings import Limits
from luban.task import arrange

AT_ONCE = 8  # answers in work side by side
MOST_WAITING = 64


@dataclass(frozen=True)
class Piece:
    """A part of an answer; the last one says why it ends."""

    text: str
    finish: str = ""
    tokens: int = 1
    prompt_tokens: int = 0


@dataclass(eq=False)
class Saying:
    """One answer on its way."""

    model: Model
    table: pl.DataFrame
    settings: dict[str, Any]
    until: float
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)
    left: bool = False
    steps: Iterator[Piece] | None = None

    def tell(self, piece: Piece | Exception) -> None:
        """From the thread to the loop."""
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)


class Speaker:
    """The thread of one model."""

    def __init__(self, limits: Limits, *, name: str) -> None:
        self.limits, self.count = limits, 0
        self.line: queue.SimpleQueue[Saying | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work, name=f"speak-{name}", daemon=True)
        self.thread.start()

    def begin(self, model: Model, table: pl.DataFrame, settings: dict[str, Any]) -> Saying:
        """Put an answer in the line. Raises RequestError L612 where it is full."""
        if self.count >= AT_ONCE + MOST_WAITING:
            raise problems.overloaded(1)
        saying = Saying(model, table, settings, time.monotonic() + self.limits.answer_s, asyncio.get_running_loop())
        self.count += 1
        self.line.put(saying)
        return saying

    def end(self, saying: Saying) -> None:
        """Nobody listens any more; on the loop, once for each answer."""
        saying.left = True
        self.count -= 1

    def stop(self) -> None:
        """Let the thread end."""
        self.line.put(None)
        self.thread.join(self.limits.drain_s)

    def work(self) -> None:
        """Round after round."""
        active: list[Saying] = []
        while True:
            while len(active) < AT_ONCE and (not active or not self.line.empty()):
                saying = self.line.get()
                if saying is None:
                    return
                active.append(saying)
            active = [saying for saying in active if self.step(saying)]

    def step(self, saying: Saying) -> bool:
        """One piece of one answer; whether there is more to say."""
        if saying.left:
            return False
        try:
            if time.monotonic() > saying.until:
                raise problems.expired()
            with torch.inference_mode():
                saying.steps = saying.steps or pieces(saying.model, saying.table, saying.settings)
                piece = next(saying.steps, None)
        except problems.RequestError as error:
            saying.tell(error)
            return False
        except LubanError as error:
            saying.tell(problems.unanswerable(error))
            return False
        except Exception as error:  # noqa: BLE001 whoever listens must be told, whatever it was
            logger.error("%s: %s", self.thread.name, type(error).__name__)
            saying.tell(problems.internal())
            return False
        if piece is not None:
            saying.tell(piece)
        return piece is not None and not piece.finish


def pieces(model: Model, table: pl.DataFrame, settings: dict[str, Any]) -> Iterator[Piece]:
    """What the task streams, as text and why it ends. Raises RequestError L605 for a row that cannot be read."""
    task = with_settings(model.task, settings)
    columns = task.encode(table)
    if columns.rejects or not len(columns):
        raise problems.invalid(said("the prompt is not such as the model can answer"))
    examples = arrange(task, columns, None)
    read = 0 if examples.size is None else int(np.sum(examples.size))
    draw = Draw(settings.get("seed", 0), 0, np.arange(len(examples)), training=False)
    finish = ""
    for frame in task.stream(model.net, task.collate(examples, draw), draw):
        row = frame.row(0, named=True)
        finish = row.get("finish") or ""
        yield Piece(row["text"], finish, int(row.get("tokens") or 1), read)
    if not finish:
        yield Piece("", "stop", 0, read)


def with_settings(task: Any, settings: dict[str, Any]) -> Any:
    """The task under what a request asks. Raises RequestError L618 for what it does not know."""
    if not settings:
        return task
    generation = getattr(task.config, "generation", None)
    known = {} if generation is None else {name: getattr(generation, name) for name in generation.__dataclass_fields__}
    if unknown := [name for name in settings if name not in known]:
        raise problems.unsupported(unknown[0])
    try:
        changed = validate(type(generation), plain(known | settings), where="generation")
    except LubanError as error:
        raise problems.unsupported(next(iter(settings))) from error
    return type(task)(replace(task.config, generation=changed), task.state)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
