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
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    good, bad = float(right.sum()), float(len(right) - right.sum())
    target = np.where(right > 0.5, (good + 1) / (good + 2), 1 / (bad + 2))
    centre, spread = (float(scores.mean()), float(scores.std()) or 1.0) if len(scores) else (0.0, 1.0)
    x = np.stack([(scores - centre) / spread, np.ones(len(scores))], 1)
    weights = np.array([0.0, np.log((good + 1) / (bad + 1))])
    for _ in range(STEPS):
        step = newton(x, target, weights)
        weights = weights + step
        if np.abs(step).max() < NEAR:
            break
    if not np.isfinite(weights).all() or weights[0] < 0:
        return 0.0, float(np.log((good + 1) / (bad + 1)))
    slope = weights[0] / spread
    return float(slope), float(weights[1] - slope * centre)


def newton(x: Array, target: Array, weights: Array) -> Array:
    """One step towards the least cross-entropy, halved until it goes down."""
    chance = logistic(x @ weights)
    slope = x.T @ (target - chance)
    curvature = x.T @ (x * (chance * (1 - chance))[:, None]) + FLOOR * np.eye(2)
    step = np.linalg.solve(curvature, slope)
    here = cross_entropy(x @ weights, target)
    while cross_entropy(x @ (weights + step), target) > here + 1e-15 * abs(here) and np.abs(step).max() > NEAR:
        step = step / 2
    return step


def cross_entropy(logits: Array, target: Array) -> float:
    """Summed over the questions."""
    return float((np.logaddexp(0, logits) - target * logits).sum())


def logistic(logits: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))
