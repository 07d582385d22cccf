"""Metrics of the chances themselves: log-loss, Brier score, expected calibration error.

N examples, K classes. Examples with a label never seen in training are left out: no chance was ever given to it.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each, mean, sums

NEEDS = (("label", "chance"), ("labels", "chance"))
SMALLEST = float(np.finfo(np.float32).eps)  # chances are float32: a smaller one can't be told from nought
NUM_BINS = 15


def tally_log_loss(marks: Columns) -> Tally:
    """Mean of -log of the chance given to the truth, in nats; of many labels, the mean over all of them too."""
    chance = np.clip(dense(marks, "chance"), SMALLEST, 1 - SMALLEST)
    if "labels" in marks:
        return mean(-np.log(np.where(dense(marks, "labels"), chance, 1 - chance)).mean(1))
    label, known = known_labels(marks)
    return mean_of_known(-np.log(chance[np.arange(len(chance)), label]), known)


def tally_brier(marks: Columns) -> Tally:
    """Mean squared distance of the chances from the truth: of one chance for two classes or each label, summed over more classes."""
    chance = dense(marks, "chance")
    if "labels" in marks:
        return mean(np.square(chance - dense(marks, "labels")).mean(1))
    label, known = known_labels(marks)
    if chance.shape[1] == 2:
        return mean_of_known(np.square(chance[:, 1] - label), known)
    # |p - e|^2 = |p|^2 - 2 p_label + 1
    return mean_of_known(np.square(chance).sum(1) - 2 * chance[np.arange(len(chance)), label] + 1, known)


def tally_ece(marks: Columns) -> Tally:
    """Mean gap between confidence and accuracy over 15 bins of equal width (Guo et al. 2017, equation 3)."""
    confidence, hit, owner = confidences(marks)
    place, gap = bin_of(confidence), hit - confidence

    def score(counts: Array) -> float:
        counts = counts[owner]
        return float(np.abs(np.bincount(place, counts * gap)).sum() / counts.sum())

    return each(score, len(marks))


def known_labels(marks: Columns) -> tuple[Array, Array]:
    """(N,) labels with 0 for one never seen in training, and (N,) whether it was seen."""
    label = dense(marks, "label")
    return np.maximum(label, 0), label >= 0


def mean_of_known(values: Array, known: Array) -> Tally:
    """Mean of the values (N,) of the known examples; counts of the others change nothing."""
    pairs = np.stack([values * known, known.astype(np.float64)], 1)
    return sums(pairs, lambda total: total[:, 0] / total[:, 1])


def confidences(marks: Columns) -> tuple[Array, Array, Array]:
    """Chance of what was guessed, whether it was right, and the example it belongs to; many labels count one by one."""
    chance = dense(marks, "chance")
    if "labels" in marks:
        truth = dense(marks, "labels").astype(bool)
        hit = ((chance >= 0.5) == truth).astype(np.float64)
        return np.maximum(chance, 1 - chance).reshape(-1), hit.reshape(-1), np.repeat(np.arange(len(chance)), chance.shape[1])
    label = dense(marks, "label")
    owner = (label >= 0).nonzero()[0]
    hit = chance[owner].argmax(1) == label[owner]
    return chance[owner].max(1, initial=0.0), hit.astype(np.float64), owner


def bin_of(confidence: Array, num_bins: int = NUM_BINS) -> Array:
    """Place of each confidence among bins of equal width, closed on the right."""
    return np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


log_loss = Metric(
    name="log_loss",
    tally=tally_log_loss,
    higher_is_better=False,
    needs=NEEDS,
    bounds=(0.0, float(-np.log(SMALLEST))),
    titles=("log-loss", "对数损失"),
)
brier = Metric(
    name="brier", tally=tally_brier, higher_is_better=False, needs=NEEDS, bounds=(0.0, 2.0), titles=("Brier score", "Brier 分数")
)
ece = Metric(name="ece", tally=tally_ece, higher_is_better=False, needs=NEEDS, titles=("calibration error (ECE)", "校准误差"))
