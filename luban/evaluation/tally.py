"""A metric made ready to be scored many times over: how often each example is counted -> score.

The bootstrap only changes counts, so sorting, logarithms and comparisons are done once.
N examples, C cells (examples that no metric can tell apart), D draws, S sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from luban.columns import Array


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Scores as a function of counts; with cells, examples in one cell are interchangeable."""

    score: Callable[[Array], Array]  # (D, C) how often each cell is counted -> (D,) scores
    count: int  # N
    cell: Array | None = None  # (N,) the cell of each example; None = every example is its own, C = N
    num_cells: int = 0  # C, when there are cells
    draws: int = 1000  # what a bootstrap can afford; 0 = none says anything: drawn again, examples hold fewer different things
    passes: int = 0  # over the examples, draw by draw; 0 = all draws go at once

    def once(self) -> float:
        """The score with every example counted once; nan = not defined."""
        if self.count == 0:
            return float("nan")
        ones = np.ones(self.count) if self.cell is None else np.bincount(self.cell, minlength=self.num_cells).astype(np.float64)
        return float(self.score(ones[None])[0])


def sums(values: Array, finish: Callable[[Array], Array], *, cell: Array | None = None) -> Tally:
    """A metric of sums: `values` (C, S) of each example, or of each cell; `finish` takes (D, S) to (D,)."""

    def score(counts: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return finish(counts @ values)

    return Tally(score=score, count=len(values) if cell is None else len(cell), cell=cell, num_cells=len(values))


def mean(values: Array, finish: Callable[[Array], Array] = lambda value: value) -> Tally:
    """A mean of one value (N,) per example, then `finish`."""
    pairs = np.stack([np.asarray(values, np.float64), np.ones(len(values))], 1)
    return sums(pairs, lambda total: finish(total[:, 0] / total[:, 1]))


def share(hits: Array) -> Tally:
    """The share of examples (N,) that are true: two cells, however many examples there are."""
    return sums(np.array([[0.0, 1.0], [1.0, 1.0]]), lambda total: total[:, 0] / total[:, 1], cell=hits.astype(np.int64))


def each(
    score: Callable[[Array], float], count: int, *, cell: Array | None = None, num_cells: int = 0, draws: int = 200, passes: int = 1
) -> Tally:
    """A metric that is computed draw by draw from counts (C,)."""

    def scores(counts: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.array([score(row) for row in counts], np.float64)

    return Tally(score=scores, count=count, cell=cell, num_cells=num_cells, draws=draws, passes=passes)
