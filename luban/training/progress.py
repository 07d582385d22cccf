"""Where a training stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from luban.data.sampler import Position


@dataclass
class Progress:
    """All that changes while training, but for weights and optimizers; JSON."""

    step: int = 0
    position: Position = (0, 0, 0)
    seen: int = 0
    due: int = 0  # of the planned validations, those that are past
    validated: int = 0  # those that were made
    best_score: float = -math.inf
    best_step: int = 0
    epoch_sum: float = 0.0  # of the losses of this epoch, weighed by rows
    epoch_rows: int = 0  # that had a loss
    epoch_loss: float = math.inf  # mean of the last whole epoch
    spent_s: float = 0.0
    spent: float = 0.0  # of a budget, in its unit
    log_bytes: int = 0
    stale: int = 0  # validations since the best
    skipped: int = 0  # steps in a row whose numbers were not finite
    rolled_back: bool = False  # to the best weights, at half the learning rate
    cuts: int = 1  # pieces each micro-batch is cut into, since memory ran out
    done: bool = False
