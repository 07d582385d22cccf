"""One sequence on its way: its prompt, what was said so far, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from luban.errors import DataError
from luban.generating.guessing import Echo
from luban.generating.pieces import Pieces
from luban.generating.settings import Generation
from luban.messages import tr
from luban.tokenizing.tokenizer import Tokenizer

Finish = Literal["", "stop", "length", "cancelled"]
Allowed = Callable[[Sequence[int]], Tensor | None]  # the answer so far -> (V,) bool, or None = any token


@dataclass(eq=False)
class Answer:
    """One sequence."""

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
    top: int = 0  # so many of the likeliest tokens are told of each place
    tops: list[list[tuple[int, float]]] = field(default_factory=list)
    reused: int = 0  # tokens of the prompt that were not read again
    read: int = 0  # tokens of the prompt that are in the cache, while it is read in parts
    begins: list[int] = field(default_factory=list)  # the byte at which each token begins
    fed: int = 0  # bytes of all tokens
    told: int = 0  # tokens whose text was given out, and looked at
    echo: Echo | None = None  # what is guessed of it

    def take(self) -> str:
        """The text since the last time."""
        out, self.fresh = self.fresh, ""
        return out

    def take_tokens(self) -> range:
        """The places of the tokens whose text was given out since the last time; what a stop cut away, and the mark that ended it, are none."""
        given = self.fed - self.pieces.pending
        told = self.told
        while self.told < len(self.begins):
            end = self.begins[self.told + 1] if self.told + 1 < len(self.begins) else self.fed
            if (self.begins[self.told] if self.pieces.stopped else end - 1) >= given:
                break
            self.told += 1
        return range(told, self.told)

    @property
    def sequence(self) -> np.ndarray:
        """Prompt and answer."""
        return np.concatenate([self.prompt, np.array(self.tokens, np.int64)])

    def append(self, token: int, log: float, tokenizer: Tokenizer, capacity: int) -> None:
        """Add a token; end at a stop, or where there is no more room."""
        self.tokens.append(token)
        self.logs.append(log)
        ended = token in tokenizer.stops
        full = len(self.tokens) >= self.settings.max_tokens or len(self.prompt) + len(self.tokens) >= capacity
        data = b"" if ended else tokenizer.bytes[token]
        if not ended:
            self.begins.append(self.fed)
            self.fed += len(data)
        new = self.pieces.feed(data, last=ended or full)
        self.text, self.fresh = self.text + new, self.fresh + new
        if ended or self.pieces.stopped:
            self.finish = "stop"
        elif full:
            self.finish = "length"


def check_prompt(length: int, context: int, where: str = "") -> None:
    """Raises DataError L271 for a prompt that leaves no room to answer, L276 for an empty one."""
    if length >= context:
        what = tr("the prompt is longer than the context")
        fix = tr("shorten it, or train with a larger context")
        raise DataError("L271", what, where=where, received=tr("{n} tokens", n=length), allowed=[tr("at most {n}", n=context - 1)], fix=fix)
    if not length:
        raise DataError("L276", tr("the prompt is empty"), where=where, fix=tr("give at least one character"))
