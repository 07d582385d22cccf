"""Metrics of the order the chances give: area under the ROC curve, average precision. Ties count half, in the middle.

N examples, K classes that have a positive example, P places: distinct chances that a positive example of a class has, of all classes
one after the other. Two classes: of the second one's chance; more, or many labels: mean over the classes for which it is defined.
Examples with a label never seen in training are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each

NEEDS = (("label", "chance"), ("labels", "chance"))


def tally_auc(marks: Columns) -> Tally:
    """Chance that a positive example is ranked above a negative one (Mann and Whitney's U)."""
    return one_against_rest(marks, areas)


def tally_average_precision(marks: Columns) -> Tally:
    """Sum over thresholds of precision times the gain in recall, without interpolation."""
    return one_against_rest(marks, step_areas)


def one_against_rest(marks: Columns, score: Callable[[Ranks], Array]) -> Tally:
    """Mean of a score of each class against the others, over the classes for which it is defined."""
    truth, known = truths(marks)
    chance = dense(marks, "chance")
    columns = [1] if "labels" not in marks and chance.shape[1] == 2 else list(range(chance.shape[1]))
    order = Order.of(chance[known][:, columns], truth[known][:, columns], np.flatnonzero(known))

    def mean(counts: Array) -> float:
        if not len(order.begins):
            return float("nan")
        values = score(order.ranks(counts.astype(np.int64)))  # whole numbers are added up five times as fast
        defined = values[~np.isnan(values)]
        return float(defined.sum() / len(defined)) if len(defined) else float("nan")

    return each(mean, len(marks), passes=len(columns))


def truths(marks: Columns) -> tuple[Array, Array]:
    """(N, K) whether each class is true of each example, and (N,) whether its label is any of them."""
    if "labels" in marks:
        return dense(marks, "labels").astype(bool), np.ones(len(marks), bool)
    label = dense(marks, "label")
    return label[:, None] == np.arange(dense(marks, "chance").shape[1]), label >= 0


@dataclass(frozen=True)
class Ranks:
    """How examples stand to the places at which positive ones lie, class by class and by rising chance."""

    positive: Array  # (P,) positive examples there
    upto: Array  # (P,) positive examples there and below
    here: Array  # (P,) all examples there
    all_upto: Array  # (P,) all examples there and below
    order: Order
    whole: int  # all examples

    def sums(self, values: Array) -> Array:
        """(P,) -> (K,)."""
        return np.add.reduceat(values, self.order.begins)


@dataclass(frozen=True)
class Order:
    """The examples, sorted once for each class."""

    order: Array  # (K, N) by rising chance
    before: Array  # (P,) the last of all examples below each place, in the flat order; -1 = none
    last: Array  # (P,) the last of each place
    positives: Array  # (positive examples of all classes,)
    places: Array  # (P,) the first of each place's positives among them
    begins: Array  # (K,) the first place of each class
    lengths: Array  # (K,) places of each class
    ties: bool  # whether a place has two examples

    @staticmethod
    def of(chance: Array, truth: Array, rows: Array) -> Order:
        """From (N, classes) chances and whether each is true, of so many rows (N,)."""
        orders, below, lasts, positives, places, begins = [], [], [], [], [], []
        for column in np.flatnonzero(truth.any(0)):
            order = np.argsort(chance[:, column], kind="stable")
            ordered, true = chance[order, column], truth[order, column]
            found, place = np.unique(ordered[true], return_index=True)
            base, first = len(orders) * len(rows), np.searchsorted(ordered, found, "left")
            begins.append(sum(map(len, places)))
            places.append(sum(map(len, positives)) + place)
            below.append(np.where(first > 0, base + first - 1, -1))
            lasts.append(base + np.searchsorted(ordered, found, "right") - 1)
            positives.append(rows[order[true]])
            orders.append(rows[order])
        none = [np.zeros(0, np.int64)]
        before, last, positive, place = (np.concatenate(parts or none) for parts in (below, lasts, positives, places))
        ties = bool((last != np.where(before < 0, last - last % max(1, len(rows)), before + 1)).any())
        starts = np.array(begins, np.int64)
        return Order(np.stack(orders or [rows]), before, last, positive, place, starts, np.diff(starts, append=len(place)), ties)

    def ranks(self, counts: Array) -> Ranks:
        """Under counts (N,), of one class at least."""
        every = np.cumsum(counts[self.order], 1)
        positive = here = counts[self.positives]
        all_upto = every.reshape(-1)[self.last]
        if self.ties:
            positive = np.add.reduceat(positive, self.places)
            here = all_upto - np.where(self.before < 0, 0, every.reshape(-1)[self.before])
        upto = np.cumsum(positive)
        upto -= np.repeat(upto[self.begins] - positive[self.begins], self.lengths)
        return Ranks(positive, upto, here, all_upto, self, int(every[0, -1]))


def areas(ranks: Ranks) -> Array:
    """(K,) areas under the ROC curve; nan where one side is empty."""
    negative = ranks.here - ranks.positive
    below = ranks.all_upto - ranks.upto - negative
    positives = ranks.sums(ranks.positive)
    return ranks.sums(ranks.positive * (below + negative / 2)) / (positives * (ranks.whole - positives))


def step_areas(ranks: Ranks) -> Array:
    """(K,) average precisions; nan without a positive."""
    positives = ranks.sums(ranks.positive)
    above = np.repeat(positives, ranks.order.lengths) - ranks.upto + ranks.positive
    taken = ranks.whole - ranks.all_upto + ranks.here
    precision = np.divide(above, taken, out=np.zeros(len(taken)), where=taken > 0)
    return ranks.sums(precision * ranks.positive) / positives


auc = Metric(name="auc", tally=tally_auc, higher_is_better=True, needs=NEEDS, titles=("AUC", "AUC"))
average_precision = Metric(
    name="average_precision", tally=tally_average_precision, higher_is_better=True, needs=NEEDS, titles=("average precision", "平均精度")
)
