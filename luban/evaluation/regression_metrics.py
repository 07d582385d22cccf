"""Metrics of a quantity, in the user's unit: MAE, RMSE, R² and their kin.

N examples.
"""

from __future__ import annotations

import math

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each, mean, sums

NEEDS = (("truth", "answer"),)
POSITIVE = (0.0, math.inf)


def residuals(marks: Columns) -> Array:
    """(N,) answer - truth."""
    return dense(marks, "answer") - dense(marks, "truth")


def tally_mae(marks: Columns) -> Tally:
    """Mean absolute error."""
    return mean(np.abs(residuals(marks)))


def tally_mse(marks: Columns) -> Tally:
    """Mean squared error, in the square of the unit."""
    return mean(np.square(residuals(marks)))


def tally_rmse(marks: Columns) -> Tally:
    """Root of the mean squared error."""
    return mean(np.square(residuals(marks)), np.sqrt)


def tally_r2(marks: Columns) -> Tally:
    """1 - squared error over the spread of the truth: 0 is as good as its mean; a constant truth defines none."""
    truth = dense(marks, "truth")
    centred = truth - truth.mean() if len(truth) else truth  # else the square of a far mean would swallow the spread
    if np.ptp(truth, axis=0) == 0 if len(truth) else True:
        centred = np.zeros(len(truth))
    values = np.stack([np.square(residuals(marks)), centred, np.square(centred), np.ones(len(truth))], 1)

    def finish(total: Array) -> Array:
        spread = total[:, 2] - np.square(total[:, 1]) / total[:, 3]
        return np.where(spread > 0, 1 - total[:, 0] / spread, np.nan)

    return sums(values, finish)


def tally_median_absolute_error(marks: Columns) -> Tally:
    """Median absolute error: not moved by a few huge ones."""
    errors = np.abs(residuals(marks))
    order = np.argsort(errors, kind="stable")
    errors = errors[order]

    def score(counts: Array) -> float:
        upto = np.cumsum(counts[order])
        middle = [(upto[-1] - 1) // 2, upto[-1] // 2]
        return float(errors[np.searchsorted(upto, middle, side="right")].mean())

    return each(score, len(errors))


mae = Metric(name="mae", tally=tally_mae, higher_is_better=False, needs=NEEDS, bounds=POSITIVE, titles=("MAE", "平均绝对误差"))
mse = Metric(name="mse", tally=tally_mse, higher_is_better=False, needs=NEEDS, bounds=POSITIVE, titles=("MSE", "均方误差"))
rmse = Metric(name="rmse", tally=tally_rmse, higher_is_better=False, needs=NEEDS, bounds=POSITIVE, titles=("RMSE", "均方根误差"))
r2 = Metric(name="r2", tally=tally_r2, higher_is_better=True, needs=NEEDS, bounds=(-math.inf, 1.0), titles=("R²", "R²"))
median_absolute_error = Metric(
    name="median_absolute_error",
    tally=tally_median_absolute_error,
    higher_is_better=False,
    needs=NEEDS,
    bounds=POSITIVE,
    titles=("median absolute error", "绝对误差中位数"),
)
