"""Continuous batching: sequences of any length at work side by side, each in a slot of one cache; who ends makes room for who waits.

A sequences at work, T tokens of the longest new prompt, V tokens known.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.generating.answer import Allowed, Answer, check_prompt
from luban.generating.constrained import Constrained
from luban.generating.guessing import Guessing, guesses_of
from luban.generating.json_schema import grammar_of
from luban.generating.pieces import Pieces
from luban.generating.prefixes import Prefixes, shared
from luban.generating.sampling import key_of_prompt
from luban.generating.saying import say
from luban.generating.settings import Generation
from luban.tokenizing.tokenizer import Tokenizer

PROMPT_TOKENS = 4096  # read at once, padding included
WORTH_WAITING = 32  # tokens that need not be read, for which a prompt lets another go first
MOST_SCHEMAS = 16  # whose masks are kept
PLAIN = Guessing()


class Slots:
    """A net, its tokenizer and a cache; `add` prompts, then `step` until `busy` is over.

    `kept` sequences that ended stay in the cache, for prompts that begin alike. Prompts of which more than `part` tokens are new are read in parts of
    so many, between the steps of others; 0 = at once. Several tokens of an answer are guessed and checked in one step where that pays, by `guessing`.
    """

    def __init__(
        self,
        net: Any,
        tokenizer: Tokenizer,
        *,
        slots: int = 8,
        capacity: int | None = None,
        kept: int = 0,
        part: int = 0,
        guessing: Guessing = PLAIN,
    ) -> None:
        self.net, self.tokenizer = net, tokenizer
        self.capacity = min(capacity or net.context, net.context)
        self.cache = net.cache(slots + kept + (part > 0), self.capacity)
        self.slots, self.part, self.desk = slots, part, slots + kept  # the desk: where a prompt is read in parts
        self.prefixes = Prefixes(slots, kept)
        self.waiting: deque[Answer] = deque()
        self.active: list[Answer] = []  # the slot of each is its place here
        self.reading: Answer | None = None
        self.turn = False  # whether the last step read a part
        self.bounds: dict[str, Allowed] = {}
        self.guessing = guessing

    @property
    def busy(self) -> bool:
        """Whether anything is left to say."""
        return bool(self.waiting or self.active or self.reading)

    def add(self, prompt: Sequence[int] | np.ndarray, settings: Generation, allowed: Allowed | None = None, *, top: int = 0) -> Answer:
        """Put a prompt in the queue. Raises DataError L271 where the context cannot hold it, L276 for an empty one."""
        tokens = np.asarray(prompt, np.int64)
        check_prompt(len(tokens), self.capacity)
        if allowed is None and settings.json_schema is not None:
            allowed = self.bound_by(settings.json_schema)
        answer = Answer(tokens, settings, Pieces(settings.stop), allowed, key=key_of_prompt(settings.seed, tokens), top=top)
        if settings.max_tokens == 0:
            answer.finish = "length"
        else:
            self.waiting.append(answer)
        return answer

    def bound_by(self, schema: dict[str, Any]) -> Allowed:
        """What a schema allows; its masks are shared by all answers bound by it."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self.bounds:
            if len(self.bounds) >= MOST_SCHEMAS:
                del self.bounds[next(iter(self.bounds))]
            self.bounds[key] = Constrained(grammar_of(schema), self.tokenizer, self.net.num_tokens)
        return self.bounds[key]

    def cancel(self, answer: Answer) -> None:
        """Take a sequence out, wherever it is."""
        if answer in self.waiting:
            self.waiting.remove(answer)
        if answer is self.reading:
            self.reading = None
        answer.finish = answer.finish or "cancelled"
        self.release()

    @torch.inference_mode()
    def step(self) -> list[Answer]:
        """Read prompts where there is room, else say one more token of each; the answers that moved."""
        if self.reading is not None and not (self.turn and self.active):
            moved, self.turn = self.read_on(self.reading), True
        elif self.may_admit:
            moved, self.turn = self.admit(), self.reading is not None
        else:
            moved, self.turn = self.speak(), False
        self.release()
        return moved

    @property
    def may_admit(self) -> bool:
        """Whether the next one that waits can be read now."""
        if not self.waiting or len(self.active) + (self.reading is not None) >= self.slots:
            return False
        return self.reading is None or not self.is_long(self.waiting[0])

    def is_long(self, answer: Answer) -> bool:
        """Whether a prompt is read in parts."""
        return bool(self.part) and len(answer.prompt) - self.known(answer)[1] > self.part

    def speak(self) -> list[Answer]:
        """One more token of each, and those after it that were guessed right."""
        moved = list(self.active)
        room = self.capacity - 1 - int(self.cache.lengths[: len(moved)].max())
        guesses = guesses_of(moved, self.guessing, room)
        begun = time.perf_counter()
        counts = torch.tensor([len(guess) + 1 for guess in guesses])
        there = torch.arange(int(counts.max())) < counts[:, None]  # (A, T)
        tokens = torch.zeros(there.shape, dtype=torch.int64)
        tokens[there] = torch.tensor([token for answer, guess in zip(moved, guesses, strict=True) for token in (answer.tokens[-1], *guess)])
        ragged = {} if bool(there.all()) else {"there": there.to(self.device)}
        hidden = self.net.hidden(tokens.to(self.device), cache=self.cache, **ragged)  # (A, T, …) or (1, N, …)
        say(moved, guesses, self.net.logits(hidden.flatten(0, 1)), self.tokenizer, self.capacity)
        self.cache.lengths[: len(moved)] = torch.tensor([len(answer.prompt) + len(answer.tokens) - 1 for answer in moved])
        self.guessing.costs.note(int(counts.sum()), time.perf_counter() - begun)
        return moved

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def known(self, answer: Answer) -> tuple[int, int]:
        """The slot that begins like a prompt, and how far; (-1, 0) where none does."""
        if not self.prefixes.slots:
            return -1, 0
        lengths = self.cache.lengths.tolist()
        return self.prefixes.find(answer.prompt, [(k, one.sequence[: lengths[k]]) for k, one in enumerate(self.active) if one.tokens])

    def begins_like(self, answer: Answer, others: list[Answer], known: int) -> bool:
        """Whether one of these, about to be read, will know so much more of a prompt's beginning that waiting for it pays."""
        if not self.prefixes.slots:
            return False
        return max(shared(answer.prompt[:-1], one.prompt) for one in others) >= known + WORTH_WAITING

    def begin(self, answer: Answer, slot: int) -> None:
        """Put what is known of a prompt's beginning into a slot."""
        source, count = self.known(answer)
        self.cache.clear(slot)
        if count:
            self.cache.move(source, slot, count)
        answer.reused = answer.read = count

    def admit(self) -> list[Answer]:
        """Read as many waiting prompts as there is room for, padded on the right; each says its first token. A long one alone, in parts."""
        if self.is_long(self.waiting[0]):
            self.reading = self.waiting.popleft()
            self.begin(self.reading, self.desk)
            return self.read_on(self.reading)
        first, longest, most = len(self.active), 0, 0
        while self.waiting and len(self.active) + (self.reading is not None) < self.slots:
            answer = self.waiting[0]
            known = self.known(answer)[1]
            longest, most = max(longest, len(answer.prompt) - known), max(most, known)
            full = longest * (len(self.active) + 1 - first) > PROMPT_TOKENS or most + longest > self.capacity
            if len(self.active) > first and (full or self.is_long(answer) or self.begins_like(answer, self.active[first:], known)):
                break
            self.begin(answer, len(self.active))
            self.active.append(self.waiting.popleft())
        new = self.active[first:]
        say(new, [[] for _ in new], self.read(new, first, self.capacity), self.tokenizer, self.capacity)
        return new

    def read(self, answers: list[Answer], first: int, most: int) -> Tensor:
        """The next tokens of prompts, `most` at most, into the slots from `first`; (A, V) logits after the last of each."""
        parts = [answer.prompt[answer.read : answer.read + most] for answer in answers]
        counts = torch.tensor([len(part) for part in parts])
        tokens = torch.zeros(len(parts), int(counts.max()), dtype=torch.int64)
        for row, part in enumerate(parts):
            tokens[row, : len(part)] = torch.from_numpy(part)
        hidden = self.net.hidden(tokens.to(self.device), cache=self.cache, first=first)  # (A, T, …)
        self.cache.lengths[first : first + len(parts)] += counts
        for answer, part in zip(answers, parts, strict=True):
            answer.read += len(part)
        return self.net.logits(hidden[torch.arange(len(parts)), counts - 1])  # type: ignore[no-any-return]

    def read_on(self, answer: Answer) -> list[Answer]:
        """One part of a long prompt; after the last it joins the others with its first token."""
        logits = self.read([answer], self.desk, self.part)
        if answer.read < len(answer.prompt):
            return []
        self.cache.move(self.desk, len(self.active))
        self.cache.clear(self.desk)
        self.active.append(answer)
        self.reading = None
        say([answer], [[]], logits, self.tokenizer, self.capacity)
        return [answer]

    def release(self) -> None:
        """Give the slots of those that ended to the last ones, so that those at work stand first."""
        place = 0
        while place < len(self.active):
            if not self.active[place].finish:
                place += 1
                continue
            last = len(self.active) - 1
            self.prefixes.keep(self.cache, place, self.active[place].sequence[: int(self.cache.lengths[place])])
            if place != last:
                self.cache.move(last, place)
                self.active[place] = self.active[last]
            self.cache.clear(last)
            self.active.pop()


def generate(
    net: Any, tokenizer: Tokenizer, prompts: Sequence[np.ndarray], settings: Generation, *, slots: int = 16, guessing: Guessing = PLAIN
) -> list[Answer]:
    """All answers, in the order of the prompts."""
    longest = max((len(prompt) for prompt in prompts), default=0)
    work = Slots(net, tokenizer, slots=max(1, min(slots, len(prompts))), capacity=longest + settings.max_tokens + 1, guessing=guessing)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))  # alike lengths are read together
    answers = {place: work.add(prompts[place], settings) for place in order}
    while work.busy:
        work.step()
    return [answers[place] for place in range(len(prompts))]


def stream(net: Any, tokenizer: Tokenizer, prompt: np.ndarray, settings: Generation, *, guessing: Guessing = PLAIN) -> Iterator[Answer]:
    """The answer after each step that brought text, and at its end."""
    work = Slots(net, tokenizer, slots=1, capacity=len(prompt) + settings.max_tokens + 1, guessing=guessing)
    answer = work.add(prompt, settings)
    while work.busy:
        work.step()
        if answer.fresh or answer.finish:
            yield answer
