"""Continuous batching: sequences of any length at work side by side, each in a slot of one cache; who ends makes room for who waits.

A sequences at work, T tokens of the longest new prompt, V tokens known.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from luban.errors import DataError
from luban.generating.constrained import Constrained
from luban.generating.json_schema import grammar_of
from luban.generating.pieces import Pieces
from luban.generating.sampling import choose, draw, key_of_prompt
from luban.generating.settings import Generation
from luban.messages import tr
from luban.tokenizing.tokenizer import Tokenizer

PROMPT_TOKENS = 4096  # read at once, padding included
Finish = Literal["", "stop", "length", "cancelled"]
Allowed = Callable[[Sequence[int]], Tensor | None]  # the answer so far -> (V,) bool, or None = any token


@dataclass(eq=False)
class Answer:
    """One sequence: its prompt, what was said so far, and why it ended."""

    prompt: np.ndarray  # (P,) int64, at least one token
    settings: Generation
    pieces: Pieces
    allowed: Allowed | None = None
    tokens: list[int] = field(default_factory=list)
    logs: list[float] = field(default_factory=list)  # -> logarithm of each token's chance
    text: str = ""
    fresh: str = ""  # text since it was last looked at
    finish: Finish = ""
    key: int = 0

    def take(self) -> str:
        """The text since the last time."""
        out, self.fresh = self.fresh, ""
        return out


class Slots:
    """A net, its tokenizer and a cache; `add` prompts, then `step` until `busy` is over."""

    def __init__(self, net: Any, tokenizer: Tokenizer, *, slots: int = 8, capacity: int | None = None) -> None:
        self.net, self.tokenizer = net, tokenizer
        self.capacity = min(capacity or net.context, net.context)
        self.cache = net.cache(slots, self.capacity)
        self.slots = slots
        self.waiting: deque[Answer] = deque()
        self.active: list[Answer] = []  # the slot of each is its place here
        self.spelt = tokenizer.bytes
        self.bounds: dict[str, Allowed] = {}

    @property
    def busy(self) -> bool:
        """Whether anything is left to say."""
        return bool(self.waiting or self.active)

    def add(self, prompt: Sequence[int] | np.ndarray, settings: Generation, allowed: Allowed | None = None) -> Answer:
        """Put a prompt in the queue. Raises DataError L271 where the context cannot hold it."""
        tokens = np.asarray(prompt, np.int64)
        check_prompt(len(tokens), self.capacity)
        if allowed is None and settings.json_schema is not None:
            allowed = self.bound_by(settings.json_schema)
        answer = Answer(tokens, settings, Pieces(settings.stop), allowed, key=key_of_prompt(settings.seed, tokens))
        if settings.max_tokens == 0:
            answer.finish = "length"
        else:
            self.waiting.append(answer)
        return answer

    def bound_by(self, schema: dict[str, Any]) -> Allowed:
        """What a schema allows; its masks are shared by all answers bound by it."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self.bounds:
            self.bounds[key] = Constrained(grammar_of(schema), self.tokenizer, self.net.num_tokens)
        return self.bounds[key]

    def cancel(self, answer: Answer) -> None:
        """Take a sequence out, wherever it is."""
        if answer in self.waiting:
            self.waiting.remove(answer)
        answer.finish = answer.finish or "cancelled"
        self.release()

    @torch.inference_mode()
    def step(self) -> list[Answer]:
        """Read prompts where there is room, else say one more token of each; the answers that moved."""
        if self.waiting and len(self.active) < self.slots:
            moved = self.admit()
        else:
            moved = list(self.active)
            last = torch.tensor([[answer.tokens[-1]] for answer in moved])
            hidden = self.net.hidden(last.to(self.device), cache=self.cache)
            self.cache.lengths[: len(moved)] += 1
            self.say(moved, self.net.logits(hidden[:, -1]))
        self.release()
        return moved

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def admit(self) -> list[Answer]:
        """Read as many waiting prompts as there is room for, padded on the right; each says its first token."""
        first, longest = len(self.active), 0
        while self.waiting and len(self.active) < self.slots:
            longest = max(longest, len(self.waiting[0].prompt))
            if len(self.active) > first and longest * (len(self.active) + 1 - first) > PROMPT_TOKENS:
                break
            self.active.append(self.waiting.popleft())
        new = self.active[first:]
        lengths = torch.tensor([len(answer.prompt) for answer in new])
        tokens = torch.zeros(len(new), int(lengths.max()), dtype=torch.int64)
        for row, answer in enumerate(new):
            tokens[row, : len(answer.prompt)] = torch.from_numpy(answer.prompt)
        self.cache.lengths[first : len(self.active)] = 0
        hidden = self.net.hidden(tokens.to(self.device), cache=self.cache, first=first)  # (A, T, …)
        self.cache.lengths[first : len(self.active)] = lengths
        self.say(new, self.net.logits(hidden[torch.arange(len(new)), lengths - 1]))
        return new

    def say(self, answers: list[Answer], logits: Tensor) -> None:
        """One more token of each, by (A, V) logits."""
        logits = logits.float().cpu()
        for row, answer in enumerate(answers):
            if answer.allowed is not None and (allowed := answer.allowed(answer.tokens)) is not None:
                logits[row, ~allowed] = -torch.inf
        settings = [answer.settings for answer in answers]
        seen = (
            [torch.from_numpy(np.r_[answer.prompt, np.array(answer.tokens, np.int64)]) for answer in answers] if repeats(settings) else []
        )
        draws = [draw(answer.key, len(answer.tokens)) for answer in answers]
        found = choose(logits, settings, seen or [logits] * len(answers), draws)
        logs = logits.gather(-1, found[:, None])[:, 0] - logits.logsumexp(-1)
        for answer, token, log in zip(answers, found.tolist(), logs.tolist(), strict=True):
            self.append(answer, token, log)

    def append(self, answer: Answer, token: int, log: float) -> None:
        """Add a token; end the answer at a stop, or where there is no more room."""
        answer.tokens.append(token)
        answer.logs.append(log)
        ended = token in self.tokenizer.stops
        full = len(answer.tokens) >= answer.settings.max_tokens or len(answer.prompt) + len(answer.tokens) >= self.capacity
        new = answer.pieces.feed(b"" if ended else self.spelt[token], last=ended or full)
        answer.text, answer.fresh = answer.text + new, answer.fresh + new
        if ended or answer.pieces.stopped:
            answer.finish = "stop"
        elif full:
            answer.finish = "length"

    def release(self) -> None:
        """Give the slots of those that ended to the last ones, so that those at work stand first."""
        place = 0
        while place < len(self.active):
            if not self.active[place].finish:
                place += 1
                continue
            last = len(self.active) - 1
            if place != last:
                self.cache.move(last, place)
                self.active[place] = self.active[last]
            self.cache.clear(last)
            self.active.pop()


def repeats(settings: Sequence[Generation]) -> bool:
    """Whether any answer looks at what was said."""
    return any(one.repetition_penalty != 1 for one in settings)


def check_prompt(length: int, context: int, where: str = "") -> None:
    """Raises DataError L271 for a prompt that leaves no room to answer, L276 for an empty one."""
    if length >= context:
        what = tr("the prompt is longer than the context")
        fix = tr("shorten it, or train with a larger context")
        raise DataError("L271", what, where=where, received=tr("{n} tokens", n=length), allowed=[tr("at most {n}", n=context - 1)], fix=fix)
    if not length:
        raise DataError("L276", tr("the prompt is empty"), where=where, fix=tr("give at least one character"))


def generate(net: Any, tokenizer: Tokenizer, prompts: Sequence[np.ndarray], settings: Generation, *, slots: int = 16) -> list[Answer]:
    """All answers, in the order of the prompts."""
    longest = max((len(prompt) for prompt in prompts), default=0)
    work = Slots(net, tokenizer, slots=max(1, min(slots, len(prompts))), capacity=longest + settings.max_tokens + 1)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))  # alike lengths are read together
    answers = {place: work.add(prompts[place], settings) for place in order}
    while work.busy:
        work.step()
    return [answers[place] for place in range(len(prompts))]


def stream(net: Any, tokenizer: Tokenizer, prompt: np.ndarray, settings: Generation) -> Iterator[Answer]:
    """The answer after each token that brought text, and at its end."""
    work = Slots(net, tokenizer, slots=1, capacity=len(prompt) + settings.max_tokens + 1)
    answer = work.add(prompt, settings)
    while work.busy:
        work.step()
        if answer.fresh or answer.finish:
            yield answer
