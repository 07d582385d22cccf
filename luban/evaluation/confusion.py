"""Confusion: which class is taken for which, and the scores class by class.

N examples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import dense
from luban.evaluation.schema import ClassScore, Confusion, Pair

UNSEEN = "∉"  # a label never seen in training has no class of its own


def confusion(marks: Columns, labels: Sequence[Any]) -> Confusion:
    """Counts of (label, guess); labels never seen in training make a last row `∉`, if there are any."""
    counts = count_pairs(marks, len(labels))
    names = [str(label) for label in labels]
    if counts[-1].sum() == 0:
        return {"labels": names, "counts": counts[:-1, :-1].tolist()}
    return {"labels": [*names, UNSEEN], "counts": counts.tolist()}


def count_pairs(marks: Columns, num_classes: int) -> Array:
    """(K + 1, K + 1) int64 counts of (label, guess), the last row for labels never seen in training."""
    label, guess = dense(marks, "label").astype(np.int64), dense(marks, "guess").astype(np.int64)
    width = num_classes + 1
    code = np.where(label >= 0, label, num_classes) * width + np.where(guess >= 0, guess, num_classes)
    return np.bincount(code, minlength=width * width).reshape(width, width)


def worst_pairs(table: Confusion, most: int = 20) -> list[Pair]:
    """The confusions met most often; what a page shows when the classes are too many for a matrix."""
    counts = np.array(table["counts"], np.int64)
    totals = counts.sum(1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    cells = [divmod(int(place), len(counts)) for place in order]
    return [
        {"label": table["labels"][i], "guess": table["labels"][j], "count": int(counts[i, j]), "share": float(counts[i, j] / totals[i])}
        for i, j in cells
        if counts[i, j] > 0
    ]


def per_class(marks: Columns, labels: Sequence[Any]) -> list[ClassScore]:
    """Precision, recall and F1 of each class; null where there is nothing to divide by."""
    if "labels" in marks:
        truth, guess = dense(marks, "labels").astype(bool), dense(marks, "guess").astype(bool)
        hits, actual, said = (truth & guess).sum(0), truth.sum(0), guess.sum(0)
    else:
        counts = count_pairs(marks, len(labels))
        hits, actual, said = np.diagonal(counts), counts.sum(1), counts.sum(0)
    return [
        {
            "label": str(label),
            "count": int(actual[i]),
            "precision": over(hits[i], said[i]),
            "recall": over(hits[i], actual[i]),
            "f1": over(2 * hits[i], actual[i] + said[i]),
        }
        for i, label in enumerate(labels)
    ]


def over(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return float(part / whole) if whole else None
