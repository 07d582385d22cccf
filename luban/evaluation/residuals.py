"""Residuals: by how much, in which direction and where a quantity is missed.

N examples.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Columns
from luban.evaluation.metrics import dense
from luban.evaluation.schema import Histogram, Regression


def histogram(marks: Columns, *, num_bins: int = 30) -> Histogram:
    """Counts of answer - truth between its 0.5th and 99.5th percentile; what lies beyond is counted in the outer bins."""
    errors = dense(marks, "answer") - dense(marks, "truth")
    if len(errors) == 0:
        return {"edges": [], "counts": []}
    low, high = np.quantile(errors, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(errors, low, high), bins=num_bins, range=(low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def regression(marks: Columns, *, most: int = 500, seed: int = 0) -> Regression:
    """What the page draws of a regression: pairs of truth and answer (a sample of at most `most`) and the residuals' histogram."""
    count = len(marks)
    rows = np.arange(count) if count <= most else np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    points = np.stack([dense(marks, "truth")[rows], dense(marks, "answer")[rows]], 1)
    return {"points": points.tolist(), "residuals": histogram(marks)}
