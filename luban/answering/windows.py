"""Long contexts as overlapping windows, each behind its question. B questions, W windows, T tokens of a window, S of a context.

Devlin et al. 2019, section 4.3; windows overlap as in the reference implementation (`doc_stride`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luban.columns import Array, Ragged
from luban.draw import Draw

AIMED = 0.5  # of the draws in training, those that take a window with the answer


@dataclass(frozen=True)
class Plan:
    """How a question and a piece of its context share a window."""

    room: int  # tokens of the context
    step: int  # from one window to the next, below `room`

    def count(self, lengths: Array) -> Array:
        """(B,) windows of each context; an empty one has one."""
        return 1 + np.maximum(0, -(-(np.asarray(lengths) - self.room) // self.step))

    def all(self, lengths: Array) -> tuple[Array, Array]:
        """(W,) whose each window is, and (W,) the token of the context it begins at."""
        count = self.count(lengths)
        owner = np.repeat(np.arange(len(count)), count)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        return owner, number * self.step

    def drawn(self, lengths: Array, first: Array, last: Array, draw: Draw) -> tuple[Array, Array]:
        """One window of each question: half of the time one that holds the answer, else any."""
        count, chance = self.count(lengths), draw.uniform("window", 2)
        low = np.maximum(0, -(-(last + 1 - self.room) // self.step))
        high = np.minimum(count - 1, first // self.step)
        aimed = (first >= 0) & (low <= high) & (chance[:, 0] < AIMED)
        low, high = np.where(aimed, low, 0), np.where(aimed, high, count - 1)
        number = np.minimum(high, low + (chance[:, 1] * (high - low + 1)).astype(np.int64))
        return np.arange(len(count)), number * self.step


@dataclass(frozen=True)
class Windows:
    """Pieces of contexts, opened and closed, and where the answers are in them."""

    owner: Array  # (W,) int64
    context: Array  # (W, S) int64, padded with 0
    start: Array  # (W,) int64, the answer's first token of the piece, -1 where the window has it not whole
    end: Array  # (W,) int64
    begin: Array  # (W,) int64, the token of the context that a piece begins at
    length: Array  # (W,) int64

    def cut(self, values: Ragged) -> Array:
        """(W, S) something else of each token of the contexts, in the order of the pieces, without what opens them."""
        part = Ragged(values.values, values.starts[self.owner] + self.begin, self.length)
        return part.pad(0, width=self.context.shape[1])


def windows(contexts: Ragged, where: tuple[Array, Array], plan: Plan, span: tuple[Array, Array], ends: tuple[int, int]) -> Windows:
    """The windows at `where` = (owner, begin); `span` = (first, last) tokens of each answer, -1 = none; `ends` open and close a piece."""
    owner, begin = where
    length = np.minimum(plan.room, np.maximum(0, contexts.lengths[owner] - begin))
    padded = np.zeros((len(owner), int(length.max(initial=0)) + 2), np.int64)
    padded[:, 0] = ends[0]
    padded[:, 1:-1] = Ragged(contexts.values, contexts.starts[owner] + begin, length).pad(0, width=padded.shape[1] - 2)
    padded[np.arange(len(owner)), length + 1] = ends[1]
    first, last = (part[owner] for part in span)
    whole = (first >= begin) & (last < begin + length)
    start, end = np.where(whole, first - begin, -1), np.where(whole, last - begin, -1)
    return Windows(owner, padded, start, end, begin, length)
