"""The validation score that chooses a network's weights; the marks of the best are kept, so that they need not be found again."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from luban.columns import Columns, Ragged
from luban.evaluation.metrics import Metric
from luban.predicting import marks_of
from luban.training.loop import Trainer

MOST_BYTES = 64_000_000  # of marks that are held beside the training


class Judge:
    """Scores a net on the examples it is looked at with, between steps."""

    def __init__(self, task: Any, looked: Columns, metric: Metric) -> None:
        self.task, self.looked, self.metric = task, looked, metric
        self.sign = 1 if metric.higher_is_better else -1
        self.trainer: Trainer | None = None
        self.marks: Columns | None = None
        self.step = 0  # at which the marks were found

    def __call__(self, net: nn.Module) -> float:
        """Larger is better."""
        marks = marks_of(self.task, net, self.looked)
        score = self.sign * self.metric(marks)
        if self.trainer is not None and score >= self.trainer.progress.best_score:
            self.marks, self.step = marks if is_small(marks) else None, self.trainer.progress.step
        return score

    def marks_of_best(self, validation: Columns) -> Columns | None:
        """Of the weights that the training ended with, if they were found in this sitting, of these examples."""
        trainer = self.trainer
        if trainer is None or self.looked is not validation or trainer.apart[0] > trainer.progress.best_score:
            return None
        return self.marks if self.step == trainer.progress.best_step else None


def is_small(marks: Columns) -> bool:
    """Whether the marks lie in memory, and take little of it."""
    if isinstance(marks.row, np.memmap):
        return False
    sizes = [value.values.nbytes if isinstance(value, Ragged) else value.nbytes for value in marks.data.values()]
    return sum(sizes) <= MOST_BYTES
