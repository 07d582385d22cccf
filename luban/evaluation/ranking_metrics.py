"""Metrics of the order the chances give: area under the ROC curve, average precision. Ties count half, in the middle.

N examples, K classes, V distinct chances. Two classes: of the second one's chance; more, or many labels: mean over the classes
for which it is defined. Examples with a label never seen in training are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each

NEEDS = (("label", "chance"), ("labels", "chance"))


def tally_auc(marks: Columns) -> Tally:
    """Chance that a positive example is ranked above a negative one (Mann and Whitney's U)."""
    return one_against_rest(marks, area)


def tally_average_precision(marks: Columns) -> Tally:
    """Sum over thresholds of precision times the gain in recall, without interpolation."""
    return one_against_rest(marks, step_area)


def one_against_rest(marks: Columns, score_one: Callable[[Array, Array], float]) -> Tally:
    """Mean of a score of (V,) positives and (V,) negatives, both by rising chance, over the classes for which it is defined."""
    truth, known = truths(marks)
    chance = dense(marks, "chance")
    columns = [1] if "labels" not in marks and chance.shape[1] == 2 else range(chance.shape[1])
    classes = [(places(chance[:, column]), truth[:, column]) for column in columns]

    def score(counts: Array) -> float:
        counts, values = counts * known, []
        for place, positive in classes:
            above = np.bincount(place, counts * positive)
            values.append(score_one(above, np.bincount(place, counts) - above))
        defined = [value for value in values if not np.isnan(value)]
        return sum(defined) / len(defined) if defined else float("nan")

    return each(score, len(marks), passes=len(classes))


def truths(marks: Columns) -> tuple[Array, Array]:
    """(N, K) whether each class is true of each example, and (N,) 0 for an example whose label is in none of them."""
    if "labels" in marks:
        return dense(marks, "labels").astype(bool), np.ones(len(marks))
    label = dense(marks, "label")
    return label[:, None] == np.arange(dense(marks, "chance").shape[1]), (label >= 0).astype(np.float64)


def places(chance: Array) -> Array:
    """(N,) the place of each chance among the distinct ones, rising."""
    return np.unique(chance, return_inverse=True)[1].reshape(-1)


def area(positive: Array, negative: Array) -> float:
    """Area under the ROC curve; nan when one side is empty."""
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def step_area(positive: Array, negative: Array) -> float:
    """Average precision; nan without a positive."""
    above = np.cumsum(positive[::-1])
    taken = np.cumsum((positive + negative)[::-1])
    precision = np.divide(above, taken, out=np.zeros(len(taken)), where=taken > 0)
    return float((precision * positive[::-1]).sum() / positive.sum())


auc = Metric(name="auc", tally=tally_auc, higher_is_better=True, needs=NEEDS, titles=("AUC", "AUC"))
average_precision = Metric(
    name="average_precision", tally=tally_average_precision, higher_is_better=True, needs=NEEDS, titles=("average precision", "平均精度")
)
