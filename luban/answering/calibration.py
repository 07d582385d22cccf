"""When to say that there is no answer, and how likely an answer is right: both from questions that were held out of training.

N questions. Platt 1999, with the targets and Newton's method of Lin, Lin and Weng 2007; thresholds as SQuAD 2.0's script seeks them.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Array

NEVER = 1e30  # no score reaches it
STEPS, NEAR = 100, 1e-10
FLOOR = 1e-12  # added to the curvature


def best_threshold(scores: Array, gain: Array, refused: Array) -> float:
    """The score from which on to answer: `gain` (N,) is what each answer is worth, `refused` (N,) what saying nothing is.

    Halfway between two neighbours; of equals the one that answers most.
    """
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ranked = np.asarray(scores, np.float64)[order]
    worth = np.r_[0.0, np.cumsum((np.asarray(gain, np.float64) - np.asarray(refused, np.float64))[order])]
    able = np.r_[True, ranked[1:] < ranked[:-1], True]  # ties are answered together
    best = len(worth) - 1 - int(np.argmax(np.where(able, worth, -np.inf)[::-1]))
    if best == 0:
        return NEVER
    return float(ranked[best - 1] - 1.0 if best == len(ranked) else (ranked[best - 1] + ranked[best]) / 2)


def platt(scores: Array, right: Array) -> tuple[float, float]:
    """(slope, offset) of the chance 1 / (1 + exp(-(slope · score + offset))) that an answer is right; a falling one is made flat."""
    if not len(scores):
        return 0.0, 0.0
    slopes, offset = logistic_fit(np.asarray(scores, np.float64)[:, None], right, ridge=0.0)
    return float(slopes[0]), offset


def logistic_fit(evidence: Array, right: Array, ridge: float = 1.0) -> tuple[Array, float]:
    """(slopes (F,), offset) of the same curve over several kinds of evidence (N, F); slopes are held small, and never below 0."""
    evidence, right = np.asarray(evidence, np.float64), np.asarray(right, np.float64)
    good, bad = float(right.sum()), float(len(right) - right.sum())
    target = np.where(right > 0.5, (good + 1) / (good + 2), 1 / (bad + 2))
    centre, spread = evidence.mean(0), np.where(evidence.std(0) > FLOOR, evidence.std(0), 1.0)
    kept = np.arange(evidence.shape[1])
    while True:
        x = np.c_[(evidence[:, kept] - centre[kept]) / spread[kept], np.ones(len(evidence))]
        weights = descended(x, target, np.r_[np.full(len(kept), ridge), 0.0])
        if not len(kept) or weights[:-1].min() >= 0:
            break
        kept = np.delete(kept, int(weights[:-1].argmin()))
    slopes = np.zeros(evidence.shape[1])
    slopes[kept] = weights[:-1] / spread[kept]
    return slopes, float(weights[-1] - slopes @ centre)


def descended(x: Array, target: Array, ridge: Array) -> Array:
    """The weights (F,) of the least cross-entropy and half the ridge times their squares, by Newton's method."""
    weights = np.zeros(x.shape[1])

    def loss(at: Array) -> float:
        return cross_entropy(x @ at, target) + float(ridge @ (at * at)) / 2

    for _ in range(STEPS):
        chance = logistic(x @ weights)
        curvature = x.T @ (x * (chance * (1 - chance))[:, None]) + np.diag(ridge + FLOOR)
        step = np.linalg.solve(curvature, x.T @ (target - chance) - ridge * weights)
        while loss(weights + step) > loss(weights) and np.abs(step).max() > NEAR:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < NEAR:
            break
    return weights


def cross_entropy(logits: Array, target: Array) -> float:
    """Summed over the questions."""
    return float((np.logaddexp(0, logits) - target * logits).sum())


def logistic(logits: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))
