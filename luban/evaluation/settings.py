"""What a recipe may say about evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The `[evaluation]` section."""

    metrics: tuple[str, ...] = ()
    """Names of metrics; the first one chooses checkpoint and model. Left out: those of the task."""
    folds: Annotated[int, Ge(0)] = 0
    """k-fold cross-validation: every row is tested once, by a model that never saw it. 0 = one split."""
    baselines: bool = True
    """Fit the rungs below the chosen model and show them beside it."""
    level: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Of the bootstrap intervals."""
    draws: Annotated[int, Gt(0)] = 1000
    """Resamples behind each interval."""
