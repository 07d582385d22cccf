"""Metrics of the guessed class or labels: accuracy, balanced accuracy, F1.

N examples, C distinct pairs of label and guess, K classes, D draws.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each, mean, share, sums

ONE, MANY = ("label", "guess"), ("labels", "guess")


def tally_accuracy(marks: Columns) -> Tally:
    """Guess = label; a label never seen in training is an error."""
    return share(dense(marks, "label") == dense(marks, "guess"))


def tally_subset_accuracy(marks: Columns) -> Tally:
    """All labels of the example right."""
    return share((dense(marks, "labels") == dense(marks, "guess")).all(1))


def pairs(marks: Columns) -> tuple[Array, Array, Array, int]:
    """(C,) label and (C,) guess of each distinct pair, as places in the classes that occur; (N,) the pair of each example; K."""
    label, guess = dense(marks, "label").astype(np.int64), dense(marks, "guess").astype(np.int64)
    low = int(min(label.min(initial=0), guess.min(initial=0)))
    width = int(max(label.max(initial=0), guess.max(initial=0))) - low + 1
    codes, cell = np.unique((label - low) * width + (guess - low), return_inverse=True)
    places, both = np.unique(np.concatenate([codes // width, codes % width]), return_inverse=True)
    return both[: len(codes)], both[len(codes) :], cell.reshape(-1), len(places)


def tally_balanced_accuracy(marks: Columns) -> Tally:
    """Mean recall over the classes that occur as labels."""
    label, guess, cell, num_classes = pairs(marks)

    def score(counts: Array) -> float:
        actual = np.bincount(label, counts, num_classes)
        hits = np.bincount(label, counts * (label == guess), num_classes)
        return float((hits[actual > 0] / actual[actual > 0]).mean())

    return each(score, len(cell), cell=cell, num_cells=len(label), draws=1000)


def tally_macro_f1(marks: Columns) -> Tally:
    """Mean F1 over the classes that occur as label or guess; of many labels, over those that do."""
    if "labels" in marks:
        return tally_macro_f1_of_many(marks)
    label, guess, cell, num_classes = pairs(marks)

    def score(counts: Array) -> float:
        both = np.bincount(label, counts, num_classes) + np.bincount(guess, counts, num_classes)
        hits = np.bincount(label, counts * (label == guess), num_classes)
        return float((2 * hits[both > 0] / both[both > 0]).mean())

    return each(score, len(cell), cell=cell, num_cells=len(label), draws=1000)


def tally_macro_f1_of_many(marks: Columns) -> Tally:
    labels, guess = dense(marks, "labels").astype(bool), dense(marks, "guess").astype(bool)
    num_labels = labels.shape[1]
    values = np.concatenate([labels & guess, labels.astype(np.int8) + guess], 1).astype(np.float64)
    return sums(values, lambda total: mean_defined(2 * total[:, :num_labels] / total[:, num_labels:]))


def tally_micro_f1(marks: Columns) -> Tally:
    """F1 of all labels of all examples pooled."""
    labels, guess = dense(marks, "labels").astype(bool), dense(marks, "guess").astype(bool)
    values = np.stack([2 * (labels & guess).sum(1), labels.sum(1) + guess.sum(1)], 1).astype(np.float64)
    return sums(values, lambda total: total[:, 0] / total[:, 1])


def tally_hamming_loss(marks: Columns) -> Tally:
    """Share of single labels that are wrong."""
    return mean((dense(marks, "labels") != dense(marks, "guess")).mean(1))


def mean_defined(values: Array) -> Array:
    """(D, K) -> (D,): mean of those that are defined, nan where none is."""
    known = ~np.isnan(values)
    return np.where(known, values, 0.0).sum(1) / known.sum(1)


accuracy = Metric(name="accuracy", tally=tally_accuracy, higher_is_better=True, needs=(ONE,), titles=("accuracy", "准确率"))
balanced_accuracy = Metric(
    name="balanced_accuracy", tally=tally_balanced_accuracy, higher_is_better=True, needs=(ONE,), titles=("balanced accuracy", "平衡准确率")
)
macro_f1 = Metric(name="macro_f1", tally=tally_macro_f1, higher_is_better=True, needs=(ONE, MANY), titles=("macro F1", "宏平均 F1"))
micro_f1 = Metric(name="micro_f1", tally=tally_micro_f1, higher_is_better=True, needs=(MANY,), titles=("micro F1", "微平均 F1"))
subset_accuracy = Metric(
    name="subset_accuracy", tally=tally_subset_accuracy, higher_is_better=True, needs=(MANY,), titles=("all labels right", "全部标签正确率")
)
hamming_loss = Metric(
    name="hamming_loss", tally=tally_hamming_loss, higher_is_better=False, needs=(MANY,), titles=("Hamming loss", "汉明损失")
)
