"""Calibration: when the model says 80 %, is it right four times out of five?

N examples, K classes.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Columns
from luban.evaluation.answer_metrics import stated
from luban.evaluation.chance_metrics import NUM_BINS, bin_of, confidences
from luban.evaluation.schema import Bin


def reliability(marks: Columns, *, num_bins: int = NUM_BINS) -> list[Bin]:
    """For each bin of confidence: how many answers, how sure they were, how often they were right; empty bins hold null."""
    confidence, hit = stated(marks)[:2] if "sure" in marks else confidences(marks)[:2]
    place = bin_of(confidence, num_bins)
    counts = np.bincount(place, minlength=num_bins)
    sure, right = np.bincount(place, confidence, num_bins), np.bincount(place, hit, num_bins)
    return [
        {
            "low": i / num_bins,
            "high": (i + 1) / num_bins,
            "count": int(counts[i]),
            "confidence": float(sure[i] / counts[i]) if counts[i] else None,
            "accuracy": float(right[i] / counts[i]) if counts[i] else None,
        }
        for i in range(num_bins)
    ]
