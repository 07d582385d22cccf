"""Metrics of lists: what was named against what was taken, over the whole catalogue of items, never over a sample of it.

N users, R places of a list (the longest cutoff), K a cutoff. Marks: hits (N, R) whether the item at each place was taken · relevant (N,) items
taken · listed (N, R) item codes, -1 = none · share (N, R) share of the training's users who took the item at each place · apart (N, cutoffs)
mean distance of the items of a list, -1 = fewer than two · catalogue (N,) items there are. A user of whom nothing is known to be relevant counts in no mean of hits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each, sums
from luban.recommending.lists import CUTOFFS

HITS = (("hits", "relevant"),)
Values = Callable[[Columns, int], Array]  # marks, cutoff -> (N,), nan = not defined for this user


def over_users(values: Array) -> Tally:
    """Mean over the users for whom it is defined."""
    known = ~np.isnan(values)
    return sums(np.stack([np.where(known, values, 0.0), known], 1).astype(np.float64), lambda total: total[:, 0] / total[:, 1])


def of_relevant(values: Any, marks: Columns) -> Array:
    """nan where nothing is relevant."""
    return np.where(dense(marks, "relevant") > 0, values, np.nan)


def hits_to(marks: Columns, cutoff: int) -> Array:
    """(N, K) as numbers."""
    return np.asarray(marks["hits"])[:, :cutoff].astype(np.float64)


def recall(marks: Columns, cutoff: int) -> Array:
    """Share of the relevant items that are named."""
    return of_relevant(hits_to(marks, cutoff).sum(1) / np.maximum(1, dense(marks, "relevant")), marks)


def precision(marks: Columns, cutoff: int) -> Array:
    """Share of the places that hit; a list that is shorter counts as if it were filled."""
    return of_relevant(hits_to(marks, cutoff).sum(1) / cutoff, marks)


def hit_rate(marks: Columns, cutoff: int) -> Array:
    """Whether any place hits."""
    return of_relevant(hits_to(marks, cutoff).any(1).astype(np.float64), marks)


def reciprocal_rank(marks: Columns, cutoff: int) -> Array:
    """One over the first place that hits, 0 without one."""
    return of_relevant((hits_to(marks, cutoff) / np.arange(1, cutoff + 1)).max(1), marks)


def average_precision(marks: Columns, cutoff: int) -> Array:
    """Mean of the precision at each hit, over as many hits as there could be."""
    hits = hits_to(marks, cutoff)
    gained = (hits * hits.cumsum(1) / np.arange(1, cutoff + 1)).sum(1)
    return of_relevant(gained / np.clip(dense(marks, "relevant"), 1, cutoff), marks)


def gain(marks: Columns, cutoff: int) -> Array:
    """Discounted gain over that of the best list (Järvelin and Kekäläinen 2002, discount log₂ of the place plus one)."""
    discount = 1 / np.log2(np.arange(2, cutoff + 2))
    best = np.r_[0, discount.cumsum()][np.minimum(dense(marks, "relevant"), cutoff).astype(np.int64)]
    return of_relevant((hits_to(marks, cutoff) * discount).sum(1) / np.maximum(best, discount[0]), marks)


def novelty(marks: Columns, cutoff: int) -> Array:
    """Mean bits of surprise, -log₂ of the share of users who took each named item (Castells et al. 2015)."""
    return named_mean(marks, cutoff, lambda share: -np.log2(np.maximum(share, 1e-12)))


def popularity_bias(marks: Columns, cutoff: int) -> Array:
    """Mean share of users who took each named item (ARP, Abdollahpouri et al. 2019)."""
    return named_mean(marks, cutoff, lambda share: share)


def named_mean(marks: Columns, cutoff: int, what: Callable[[Array], Array]) -> Array:
    """(N,) mean over the places that name an item."""
    named = np.asarray(marks["listed"])[:, :cutoff] >= 0
    values = np.where(named, what(dense(marks, "share")[:, :cutoff]), 0.0)
    return np.where(named.any(1), values.sum(1) / np.maximum(1, named.sum(1)), np.nan)


def diversity(marks: Columns, cutoff: int) -> Array:
    """Mean distance of two items of a list, 1 - cosine of who took them (Ziegler et al. 2005)."""
    found = dense(marks, "apart")[:, CUTOFFS.index(cutoff)]
    return np.where(found < 0, np.nan, found)


def coverage(marks: Columns, cutoff: int) -> Tally:
    """Share of all items that some list names; without an interval, for users drawn twice cover less."""
    listed, catalogue = np.asarray(marks["listed"])[:, :cutoff], max(1, int(np.max(marks["catalogue"], initial=1)))

    def score(counts: Array) -> float:
        named = listed[counts > 0].reshape(-1)
        return float(len(np.unique(named[named >= 0])) / catalogue)

    return each(score, len(marks), draws=0)


def family(name: str, titles: tuple[str, str], values: Values, **facts: Any) -> tuple[Metric, ...]:
    """One metric for each cutoff."""
    settings: dict[str, Any] = {"higher_is_better": True, "needs": HITS} | facts
    return tuple(
        Metric(
            name=f"{name}_at_{cutoff}",
            tally=lambda marks, cutoff=cutoff: over_users(values(marks, cutoff)),
            titles=(f"{titles[0]}@{cutoff}", f"{titles[1]}@{cutoff}"),
            **settings,
        )
        for cutoff in CUTOFFS
    )  # fmt: skip


LISTED = (("listed", "share"),)
metrics = (
    *family("ndcg", ("NDCG", "NDCG"), gain),
    *family("recall", ("recall", "召回率"), recall),
    *family("precision", ("precision", "精确率"), precision),
    *family("hit_rate", ("hit rate", "命中率"), hit_rate),
    *family("mrr", ("MRR", "MRR"), reciprocal_rank),
    *family("map", ("MAP", "MAP"), average_precision),
    *family("novelty", ("novelty (bits)", "新颖度（比特）"), novelty, needs=LISTED, bounds=(0.0, 40.0)),
    *family("popularity_bias", ("popularity of the named", "推荐项流行度"), popularity_bias, needs=LISTED, higher_is_better=False),
    *family("diversity", ("diversity within a list", "列表内多样性"), diversity, needs=(("apart",),)),
    *(
        Metric(
            name=f"coverage_at_{cutoff}",
            tally=lambda marks, cutoff=cutoff: coverage(marks, cutoff),
            higher_is_better=True,
            needs=(("listed", "catalogue"),),
            titles=(f"coverage@{cutoff}", f"覆盖率@{cutoff}"),
        )
        for cutoff in CUTOFFS
    ),
)
