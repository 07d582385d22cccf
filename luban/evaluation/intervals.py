"""Bootstrap intervals: how far a score could lie off if other examples of the same kind had been drawn (Efron 1979).

Only marks are resampled, never the model. N examples, C cells, D draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from luban.columns import Array, Columns
from luban.errors import TrainingError
from luban.evaluation.metrics import Metric
from luban.evaluation.tally import Tally
from luban.messages import tr

MOST_EXAMPLES = 20_000
"""Above this the spread is taken from so many examples, and narrowed by the root of the share they are (m out of n)."""
FEWEST_EXAMPLES = 2_000
MOST_STEPS = 100_000_000  # examples times passes: about a second
MOST_CELLS = 4_000
CHUNK = 1_000_000  # counts held at once
KEPT = 4  # sets of draws for the metrics and models that follow; of at most 20 MB, as nothing is drawn more than 255 times


class Interval(NamedTuple):
    """Percentile interval of a score; nan, nan where the score is not defined."""

    low: float
    high: float


def interval(
    metric: Metric, marks: Columns, *, draws: int | None = None, seed: int = 0, level: float = 0.95, groups: Array | None = None
) -> Interval:
    """Where the metric lies with this confidence; `groups` (N,) are resampled whole. Draws: 1000, or 200 where each costs a pass."""
    found = bootstrap(metric, (marks,), draws=draws, seed=seed, level=level, groups=groups)
    return Interval(*(min(max(edge, metric.bounds[0]), metric.bounds[1]) for edge in found))


def paired_interval(
    metric: Metric,
    marks_a: Columns,
    marks_b: Columns,
    *,
    draws: int | None = None,
    seed: int = 0,
    level: float = 0.95,
    groups: Array | None = None,
) -> Interval:
    """Interval of metric(a) - metric(b) on the same rows: far narrower than two intervals. Raises TrainingError L351."""
    if not np.array_equal(marks_a.row, marks_b.row):
        raise TrainingError(
            "L351",
            tr("a paired interval needs the marks of the same rows in the same order"),
            where=tr("evaluation: {name}", name=metric.name),
            received=f"{len(marks_a)} / {len(marks_b)}",
            fix=tr("judge both models on one split"),
        )
    return bootstrap(metric, (marks_a, marks_b), draws=draws, seed=seed, level=level, groups=groups)


def bootstrap(metric: Metric, judged: tuple[Columns, ...], *, draws: int | None, seed: int, level: float, groups: Array | None) -> Interval:
    """Percentiles of the score of the first marks, minus that of the second."""
    tallies = [metric.ready(marks) for marks in judged]
    if any(not tally.draws for tally in tallies):
        return Interval(math.nan, math.nan)
    centre, rng = difference([tally.once() for tally in tallies]), np.random.default_rng(seed)
    draws = draws or min(tally.draws for tally in tallies)
    if math.isnan(centre):
        return Interval(math.nan, math.nan)
    if groups is not None:
        return percentiles(draw_groups(tallies, groups, draws, rng), level)
    if cells := joint_cells(tallies):
        return percentiles(draw_cells(tallies, *cells, draws, rng), level)
    part, counts = resamples(len(judged[0]), affordable(draws * sum(tally.passes for tally in tallies)), draws, seed)
    if part is None:
        return percentiles(draw_examples(tallies, counts), level)
    tallies = [metric.tally(marks.take(part)) for marks in judged]
    deviations = draw_examples(tallies, counts) - difference([tally.once() for tally in tallies])
    return percentiles(centre + deviations * math.sqrt(len(part) / len(judged[0])), level)


def affordable(passes: int) -> int:
    """How many examples may be gone through so often."""
    return min(MOST_EXAMPLES, max(FEWEST_EXAMPLES, MOST_STEPS // max(1, passes)))


def joint_cells(tallies: list[Tally]) -> tuple[list[Array], Array] | None:
    """The cell of each tally for each joint cell (C,), and the examples in it (C,); None without cells, or with too many."""
    if any(tally.cell is None for tally in tallies):
        return None
    stacked = np.stack([np.asarray(tally.cell) for tally in tallies])
    code = np.ravel_multi_index(tuple(stacked), tuple(tally.num_cells for tally in tallies))
    codes, sizes = np.unique(code, return_counts=True)
    owners = np.unravel_index(codes, tuple(tally.num_cells for tally in tallies))
    return ([np.asarray(owner) for owner in owners], sizes) if len(codes) <= MOST_CELLS else None


def draw_cells(tallies: list[Tally], owners: list[Array], sizes: Array, draws: int, rng: np.random.Generator) -> Array:
    """(D,) Examples of one cell are interchangeable, so their number is multinomial: no example need be drawn."""
    step = max(1, CHUNK // len(sizes))
    chunks = (rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=min(step, draws - begin)) for begin in range(0, draws, step))
    return joined(
        difference([scores_of(tally, counts.astype(np.float64), owner) for tally, owner in zip(tallies, owners, strict=True)])
        for counts in chunks
    )


def draw_examples(tallies: list[Tally], counts: Array) -> Array:
    """(D,) N of N examples with replacement, as counts (D, N) say."""
    step = chunk_of(counts.shape[1])
    chunks = (counts[begin : begin + step].astype(np.float64) for begin in range(0, len(counts), step))
    return joined(difference([scores_of(tally, chunk, tally.cell) for tally in tallies]) for chunk in chunks)


@lru_cache(maxsize=KEPT)
def resamples(count: int, most: int, draws: int, seed: int) -> tuple[Array | None, Array]:
    """(which of so many examples stand for all, None where all do; (D, N) how often each is drawn); the same for every metric and every model."""
    rng = np.random.default_rng(seed)
    part = None if count <= most else rng.choice(count, most, replace=False)
    return part, np.concatenate([chunk.astype(np.uint8) for chunk in count_draws(min(count, most), draws, rng)])


def draw_groups(tallies: list[Tally], groups: Array, draws: int, rng: np.random.Generator) -> Array:
    """(D,) whole groups with replacement: examples of one group (a patient, a user) are not independent."""
    names, owner = np.unique(groups, return_inverse=True)
    chunks = count_draws(len(names), draws, rng, width=len(owner))
    return joined(difference([scores_of(tally, counts[:, owner].astype(np.float64), tally.cell) for tally in tallies]) for counts in chunks)


def count_draws(count: int, draws: int, rng: np.random.Generator, *, width: int = 0) -> Iterator[Array]:
    """(some D, count): how often each of `count` things is drawn, a bounded number of draws at a time."""
    step = chunk_of(max(count, width))
    for begin in range(0, draws, step):
        size = min(step, draws - begin)
        picks = rng.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
        yield np.bincount(picks.reshape(-1), minlength=size * count).reshape(size, count)


def chunk_of(width: int) -> int:
    """Draws of so many counts that are held at once."""
    return max(1, CHUNK // max(width, 1))


def scores_of(tally: Tally, counts: Array, cell: Array | None) -> Array:
    """(D,) scores under counts (D, N); `cell` (N,) leads to the tally's own cells."""
    if cell is None:
        return tally.score(counts)
    return tally.score(np.stack([np.bincount(cell, row, tally.num_cells) for row in counts]))


def difference(scores: list[Array] | list[float]) -> Array:
    """The only score, or the first minus the second."""
    return np.asarray(scores[0] if len(scores) == 1 else scores[0] - scores[1])


def joined(parts: Iterable[Array]) -> Array:
    """Scores of all chunks."""
    return np.concatenate(list(parts))


def percentiles(drawn: Array, level: float) -> Interval:
    """The middle `level` of the draws; those that are not defined (one class drawn) are left out."""
    known = drawn[~np.isnan(drawn)]
    if len(known) == 0:
        return Interval(math.nan, math.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
