"""Linear heads in closed form or by convex solvers: logistic regression of labels and tags, ridge regression of numbers.

N rows, D features, O outputs. The penalty is chosen by cross-validation over the rows given.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Array = np.ndarray
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of standardised features; larger = freer
PLAIN = 0.03  # where the rows are too few to choose
FOLDS = 4
OUT_OF_REACH = 20.0  # the log-chance, below zero, of a label that no row has


def fit_head(features: Array, target: Array, *, aim: str, outputs: int, counts: Array | None = None) -> tuple[Array, Array]:
    """(D, O) weights and (O,) biases from (N, D) features; `counts` (N,) is what each row weighs."""
    if aim == "number":
        return ridge(features, target)
    if aim == "tags":
        parts = [labels(features, (target[:, tag] > 0.5).astype(int), 1, counts) for tag in range(outputs)]
        return np.concatenate([weight for weight, _ in parts], 1), np.concatenate([bias for _, bias in parts])
    return labels(features, target.astype(int), outputs, counts)


def labels(features: Array, target: Array, outputs: int, counts: Array | None) -> tuple[Array, Array]:
    """Logistic regression of one label a row, its penalty chosen by log-loss."""
    few = smallest(target)
    strength = PLAIN
    if few >= 2:
        part = fold_of(target, min(FOLDS, few))
        strength = min(STRENGTHS, key=lambda one: held_out(features, target, outputs, counts, one, part))
    return logistic(features, target, outputs, counts, strength)


def held_out(features: Array, target: Array, outputs: int, counts: Array | None, strength: float, part: Array) -> float:
    """Mean log-loss of the rows of each part under the head of the others."""
    lost = 0.0
    for number in range(part.max() + 1):
        rest, held = part != number, part == number
        weight, bias = logistic(features[rest], target[rest], outputs, None if counts is None else counts[rest], strength)
        loss = losses(features[held] @ weight + bias, target[held])
        lost += float((loss if counts is None else loss * counts[held]).sum())
    return lost / len(target)


def losses(logits: Array, target: Array) -> Array:
    """(N,) negative log-likelihood; of one output, of its sigmoid."""
    logits = np.concatenate([np.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
    logits = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(target)), target]


def logistic(features: Array, target: Array, outputs: int, counts: Array | None, strength: float) -> tuple[Array, Array]:
    """Multinomial logistic regression; of two labels one output. A label that no row has is out of reach."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    found = np.unique(target)
    weight, bias = np.zeros((features.shape[1], outputs)), np.full(outputs, -OUT_OF_REACH)
    if len(found) < 2:
        bias[found[found < outputs] if outputs > 1 else 0] = 0.0 if outputs > 1 else (2 * found[0] - 1) * OUT_OF_REACH
        return weight, bias
    model: Any = LogisticRegression(C=strength, max_iter=300, tol=1e-4)
    with quiet(), threadpool_limits(1, user_api="blas"):  # products so small take ten times as long where threads share them
        model.fit(features, target, sample_weight=counts)
    if outputs == 1:
        return model.coef_.T, model.intercept_
    pair = len(found) == 2
    weight[:, found] = (np.r_[-model.coef_, model.coef_] / 2 if pair else model.coef_).T
    bias[found] = np.r_[-model.intercept_, model.intercept_] / 2 if pair else model.intercept_
    return weight, bias


def ridge(features: Array, target: Array) -> tuple[Array, Array]:
    """Ridge regression, its penalty by leaving one row out (Golub et al. 1979)."""
    from sklearn.linear_model import RidgeCV

    model: Any = RidgeCV(alphas=np.logspace(-1, 5, 13)).fit(features, target)
    return model.coef_[:, None], np.asarray([model.intercept_])


def smallest(target: Array) -> int:
    """Rows of the rarest label that there is."""
    return int(np.unique(target, return_counts=True)[1].min())


def fold_of(target: Array, folds: int) -> Array:
    """(N,) the fold of each row, the labels spread evenly over them."""
    part = np.zeros(len(target), np.int64)
    for label in np.unique(target):
        rows = np.flatnonzero(target == label)
        part[rows] = (np.arange(len(rows)) + label) % folds
    return part


@contextmanager
def quiet() -> Iterator[None]:
    """A solver that stops a little early is good enough."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
