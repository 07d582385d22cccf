"""Metrics of search by vectors: is what belongs together found first, among all examples. Ties count half, in the middle.

Marks read: query (N, D) vectors of length 1, and partner (N, D): that of the same row is to be found; or group (N,): another row of the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric
from luban.evaluation.tally import Tally, sums

NEEDS = (("query", "partner"), ("query", "group"))
BLOCK = 1024  # queries at once


def ranks(marks: Columns) -> Array:
    """(N,) how many others stand before the first that belongs to each query; nan where nothing does."""
    query = np.asarray(marks["query"], np.float32)
    found = []
    for start in range(0, len(query), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(query)))
        found.append(of_pairs(query, marks, rows) if "partner" in marks else of_groups(query, marks, rows))
    return np.concatenate(found) if found else np.zeros(0)


def of_pairs(query: Array, marks: Columns, rows: Array) -> Array:
    """Among the partners of all rows."""
    score = query[rows] @ np.asarray(marks["partner"], np.float32).T
    own = score[np.arange(len(rows)), rows][:, None]
    return (score > own).sum(1) + ((score == own).sum(1) - 1) / 2


def of_groups(query: Array, marks: Columns, rows: Array) -> Array:
    """Among all other rows: the best of those of the same group."""
    score, group = query[rows] @ query.T, np.asarray(marks["group"])
    others = np.ones(score.shape, bool)
    others[np.arange(len(rows)), rows] = False
    alike = (group[rows][:, None] == group) & others
    best = np.where(alike, score, -np.inf).max(1, initial=-np.inf)[:, None]
    rank = ((score > best) & others).sum(1) + ((score == best) & others & ~alike).sum(1) / 2
    return np.where(alike.any(1), rank, np.nan)


def of_ranks(value: Callable[[Array], Array]) -> Callable[[Columns], Tally]:
    """The mean of a value of each rank that is defined."""

    def tally(marks: Columns) -> Tally:
        rank = ranks(marks)
        known = ~np.isnan(rank)
        pairs = np.stack([np.where(known, value(np.nan_to_num(rank)), 0.0), known.astype(np.float64)], 1)
        return sums(pairs, lambda total: total[:, 0] / total[:, 1])

    return tally


def at(count: int) -> Metric:
    """The share of queries whose first hit is among so many."""
    titles = (f"recall among the first {count}", f"前 {count} 名召回率")
    tally = of_ranks(lambda rank: (rank < count).astype(np.float64))
    return Metric(name=f"retrieval_at_{count}", tally=tally, higher_is_better=True, needs=NEEDS, titles=titles)


retrieval_at_1, retrieval_at_5, retrieval_at_10 = (at(count) for count in (1, 5, 10))
retrieval_mrr = Metric(
    name="retrieval_mrr",
    tally=of_ranks(lambda rank: 1 / (1 + rank)),
    higher_is_better=True,
    needs=NEEDS,
    titles=("mean reciprocal rank", "平均倒数排名"),
)
