"""Where the answers of one version of a model are said: beside each other over the slots of one cache, or, where a task only streams, in turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from luban.bundle.model import Model
from luban.capabilities import Speaks
from luban.draw import Draw
from luban.errors import LubanError
from luban.generating.crowds import for_crowds
from luban.generating.guessing import FEW, Guessing, Measured
from luban.messages import said
from luban.schema import validate
from luban.serving import problems
from luban.serving.settings import Limits
from luban.task import arrange


@dataclass(frozen=True)
class Word:
    """A token that was said, and what else could have been."""

    data: bytes
    log: float
    others: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of an answer; the last one says why it ends."""

    text: str
    finish: str = ""
    tokens: int = 1
    prompt_tokens: int = 0
    reused: int = 0  # of the prompt's tokens, not read again
    words: tuple[Word, ...] = ()  # the tokens of the text, where they were asked for


@dataclass(frozen=True)
class Wish:
    """What is asked."""

    table: Any  # pl.DataFrame, one row
    settings: dict[str, Any]
    likeliest: int | None = None  # so many tokens are told of each place; None = not even the one that was said
    tokens: tuple[int, ...] | None = None  # of the prompt, where they are given instead of a text


class Desk(Protocol):
    """Answers under way; all of it belongs to the speaker's thread."""

    def take(self, number: int, wish: Wish) -> None:
        """Begin an answer, or let it wait. Raises LubanError for what cannot be answered."""
        ...

    def drop(self, number: int) -> None:
        """Nobody waits for it any more."""
        ...

    def step(self) -> Iterator[tuple[int, Piece | Exception]]:
        """One step; what it brought to whom."""
        ...


def desk_of(model: Model, limits: Limits) -> Desk:
    """The best the task can do."""
    return Beside(model, limits) if isinstance(model.task, Speaks) else Turns(model, limits)


class Beside:
    """Continuous batching: a step of the net moves every answer on; who comes later joins between two steps."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.task, self.limits = model.task, limits
        self.capacity = min(model.net.context, limits.prompt_tokens + limits.tokens)  # type: ignore[type-var,operator]
        rooms = {"slots": limits.streams, "kept": limits.prefixes, "part": limits.part_tokens}
        guessing = Guessing(limits.guesses, Measured())
        net = for_crowds(model.net, max(limits.streams, min(limits.guesses + 1, FEW)), limits.layout_bytes)
        self.slots = model.task.slots(net, capacity=self.capacity, **rooms, guessing=guessing)
        self.answers: dict[int, Any] = {}
        self.told: dict[int, int] = {}  # tokens counted so far
        self.logs: dict[int, int | None] = {}
        self.numbers: dict[Any, int] = {}

    def take(self, number: int, wish: Wish) -> None:
        """Raises RequestError L605, L618, L621, DataError L276."""
        task = with_settings(self.task, wish.settings, most_tokens=self.limits.tokens)
        prompt = task.whole_prompts(wish.table)[0] if wish.tokens is None else self.given(wish.tokens)
        if len(prompt) >= self.capacity or len(prompt) > self.limits.prompt_tokens:
            raise problems.too_long(len(prompt), min(self.capacity - 1, self.limits.prompt_tokens))
        answer = self.slots.add(prompt, task.config.generation, top=wish.likeliest or 0)
        self.answers[number], self.numbers[answer] = answer, number
        self.told[number], self.logs[number] = 0, wish.likeliest

    def given(self, tokens: tuple[int, ...]) -> np.ndarray:
        """(P,) as they are, nothing before them. Raises RequestError L605 for one that is none of the model's."""
        if not all(0 <= token < self.slots.tokenizer.num_tokens for token in tokens):
            raise problems.invalid(said("a token that the model does not know"), param="prompt")
        return np.array(tokens, np.int64)

    def drop(self, number: int) -> None:
        """Take it out of the batch at once."""
        if (answer := self.answers.get(number)) is not None:
            self.slots.cancel(answer)
            self.forget(number)

    def forget(self, number: int) -> None:
        """It is over."""
        del self.numbers[self.answers.pop(number)], self.told[number], self.logs[number]

    def step(self) -> Iterator[tuple[int, Piece | Exception]]:
        """What the answers that moved brought."""
        for answer in self.slots.step():
            number = self.numbers[answer]
            if answer.fresh or answer.finish:
                yield number, self.piece(number, answer)
            if answer.finish:
                self.forget(number)

    def piece(self, number: int, answer: Any) -> Piece:
        """What is new."""
        before, self.told[number] = self.told[number], len(answer.tokens)
        words = () if self.logs[number] is None else tuple(self.word(answer, place) for place in answer.take_tokens())
        return Piece(answer.take(), answer.finish, len(answer.tokens) - before, len(answer.prompt), answer.reused, words)

    def word(self, answer: Any, place: int) -> Word:
        """A token with its chance."""
        spelt = self.slots.tokenizer.bytes
        others = tuple((spelt[token], log) for token, log in answer.tops[place]) if answer.top else ()
        return Word(spelt[answer.tokens[place]], answer.logs[place], others)


class Turns:
    """A piece of each answer in turn, for tasks that stream in their own way."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.waiting: deque[int] = deque()
        self.wishes: dict[int, Wish] = {}
        self.active: dict[int, Iterator[Piece]] = {}

    def take(self, number: int, wish: Wish) -> None:
        """Raises RequestError L618 where chances are asked for, or tokens given, which are not known here."""
        if wish.likeliest is not None:
            raise problems.unsupported("logprobs")
        if wish.tokens is not None:
            raise problems.unsupported("prompt")
        self.wishes[number] = wish
        self.waiting.append(number)

    def drop(self, number: int) -> None:
        """Forget it."""
        if self.wishes.pop(number, None) is not None and number in self.waiting:
            self.waiting.remove(number)
        self.active.pop(number, None)

    def step(self) -> Iterator[tuple[int, Piece | Exception]]:
        """One piece of each."""
        while self.waiting and len(self.active) < self.limits.streams:
            number = self.waiting.popleft()
            wish = self.wishes[number]
            self.active[number] = pieces(self.model, wish, self.limits.tokens)
        for number in list(self.active):
            found = self.next_of(number)
            if found is not None:
                yield number, found
            if not isinstance(found, Piece) or found.finish:
                self.drop(number)

    def next_of(self, number: int) -> Piece | Exception | None:
        """The next piece, or what went wrong with this answer alone."""
        try:
            with torch.inference_mode():
                return next(self.active[number], None)
        except Exception as error:  # noqa: BLE001 whoever listens is told, the others go on
            return error


def pieces(model: Model, wish: Wish, most_tokens: int) -> Iterator[Piece]:
    """What the task streams, as text and why it ends. Raises RequestError L605 for a row that cannot be read."""
    task = with_settings(model.task, wish.settings, most_tokens=most_tokens)
    columns = task.encode(wish.table)
    if columns.rejects or not len(columns):
        raise problems.invalid(said("the prompt is not such as the model can answer"))
    examples = arrange(task, columns, None)
    read = 0 if examples.size is None else int(np.sum(examples.size))
    draw = Draw(wish.settings.get("seed", 0), 0, np.arange(len(examples)), training=False)
    finish = ""
    for frame in task.stream(model.net, task.collate(examples, draw), draw):
        row = frame.row(0, named=True)
        finish = row.get("finish") or ""
        yield Piece(row["text"], finish, int(row.get("tokens") or 1), read)
    if not finish:
        yield Piece("", "stop", 0, read)


def with_settings(task: Any, settings: dict[str, Any], *, most_tokens: int) -> Any:
    """The task under what a request asks, never more tokens than the service allows. Raises RequestError L618 for what it does not know."""
    generation = getattr(task.config, "generation", None)
    known = {} if generation is None else {name: getattr(generation, name) for name in generation.__dataclass_fields__}
    if unknown := [name for name in settings if name not in known]:
        raise problems.unsupported(unknown[0])
    changed = known | settings
    if "max_tokens" in known:
        changed["max_tokens"] = max(1, min(changed["max_tokens"], most_tokens))
    if changed == known:
        return task
    try:
        found = validate(type(generation), plain(changed), where="generation")
    except LubanError as error:
        raise problems.unsupported(next(iter(settings))) from error
    return type(task)(replace(task.config, generation=found), task.state)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
