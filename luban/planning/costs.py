"""What a batch costs in seconds: fitted to a few that were measured, asked of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Cost:
    """Seconds of a step as a sum of parts that are never negative: one for any step, for its rows, its longest, its cells, its squares."""

    weights: np.ndarray

    def seconds(self, costs: np.ndarray) -> np.ndarray:
        """(B, 2) rows and longest -> (B,) seconds."""
        return features(costs) @ self.weights


def features(costs: np.ndarray) -> np.ndarray:
    """(B, 2) -> (B, 5)."""
    rows, longest = costs[:, 0], costs[:, 1]
    return np.stack([np.ones(len(costs)), rows, longest, rows * longest, rows * longest**2], axis=1)


def fit(costs: np.ndarray, seconds: np.ndarray) -> Cost:
    """Least squares of relative errors, no part negative (Lawson and Hanson 1974).

    Where all costs are alike, their mean goes by cells: parts of batches that were all alike say nothing of what any step takes.
    """
    if len(np.unique(costs, axis=0)) == 1:
        return Cost(np.array([0.0, 0.0, 0.0, float(seconds.mean()) / max(1.0, float(costs[0].prod())), 0.0]))
    table = features(costs)
    table[:, 2:] *= float(len(np.unique(costs[:, 1])) > 1)
    scale = np.maximum(table.max(0), 1e-12)
    weights, _ = nnls(table / scale / seconds[:, None], np.ones(len(seconds)))
    return Cost(weights / scale)


def cost_of(sizes: np.ndarray) -> tuple[int, int]:
    """Rows of a batch, and its longest."""
    return len(sizes), int(sizes.max())


def middle(values: np.ndarray) -> float:
    """The mean without the dearest twentieth: a median that sees what comes now and then."""
    kept = np.sort(values)[: max(1, int(np.ceil(0.95 * len(values))))]
    return float(kept.mean())
