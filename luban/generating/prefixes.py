"""Beginnings that were read before: sequences that ended stay in slots of their own, and a prompt that begins like one of them begins with a copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

LEAST = 8  # tokens worth a copy


class Prefixes:
    """The last so many sequences, in the slots `first` … `first + count - 1` of a cache; the one not used for longest makes room."""

    def __init__(self, first: int, count: int) -> None:
        self.slots = list(range(first, first + count))
        self.held: dict[int, np.ndarray] = {}  # slot -> the tokens it has read; the latest used last

    def find(self, prompt: np.ndarray, others: Iterable[tuple[int, np.ndarray]] = ()) -> tuple[int, int]:
        """The slot whose sequence begins most like the prompt, and how many tokens they share; one token is always left to read.

        `others` are slots at work with what they have read. (-1, 0) where nothing worth a copy is shared.
        """
        best, most = -1, LEAST - 1
        for slot, tokens in (*others, *self.held.items()):
            if (count := shared(prompt[:-1], tokens)) > most:
                best, most = slot, count
        if best in self.held:
            self.held[best] = self.held.pop(best)
        return (best, most) if best >= 0 else (-1, 0)

    def keep(self, cache: Any, slot: int, tokens: np.ndarray) -> None:
        """Copy a sequence that ended; one that it goes on from makes room for it, and one that goes on from it is enough."""
        if not self.slots or len(tokens) < LEAST:
            return
        for own, known in self.held.items():
            count = shared(tokens, known)
            if count == len(tokens):
                self.held[own] = self.held.pop(own)
                return
            if count == len(known):
                self.put(cache, slot, own, tokens)
                return
        free = [own for own in self.slots if own not in self.held]
        self.put(cache, slot, free[0] if free else next(iter(self.held)), tokens)

    def put(self, cache: Any, source: int, target: int, tokens: np.ndarray) -> None:
        """Copy a slot's tokens."""
        cache.move(source, target, len(tokens))
        self.held.pop(target, None)
        self.held[target] = tokens


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens two sequences have in common from their beginning."""
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if len(differ) else length
