"""The ROC curve: the share of positives caught at each share of false alarms."""

from __future__ import annotations

import numpy as np

from luban.columns import Columns
from luban.evaluation.metrics import dense
from luban.evaluation.ranking_metrics import truths


def roc(marks: Columns, *, column: int = 1, most: int = 200) -> list[list[float]]:
    """[false positive rate, true positive rate] from (0, 0) to (1, 1), tied chances in one step; empty when one side is missing."""
    truth, known = truths(marks)
    place = np.unique(dense(marks, "chance")[:, column], return_inverse=True)[1].reshape(-1)
    positive = np.bincount(place, known * truth[:, column])[::-1]
    negative = np.bincount(place, known * (1.0 - truth[:, column]))[::-1]
    if positive.sum() == 0 or negative.sum() == 0:
        return []
    curve = np.stack([negative.cumsum() / negative.sum(), positive.cumsum() / positive.sum()], 1)
    curve = np.concatenate([np.zeros((1, 2)), curve])
    kept = np.unique(np.linspace(0, len(curve) - 1, min(most, len(curve))).astype(int))
    return curve[kept].tolist()
