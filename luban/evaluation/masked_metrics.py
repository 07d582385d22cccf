"""The share of hidden tokens that were told at the first guess.

Marks read: right (N,) how many of an example's tokens were told · tokens (N,) how many were asked for.
"""

from __future__ import annotations

from luban.columns import Columns
from luban.evaluation.language_metrics import totals
from luban.evaluation.metrics import Metric
from luban.evaluation.tally import Tally, sums


def tally_right(marks: Columns) -> Tally:
    """First guesses that are right, over all tokens asked for."""
    return sums(totals(marks, "right", "tokens"), lambda total: total[:, 0] / total[:, 1])


masked_accuracy = Metric(
    name="masked_accuracy",
    tally=tally_right,
    higher_is_better=True,
    needs=(("right", "tokens"),),
    titles=("accuracy of hidden tokens", "遮盖词元的准确率"),
)
