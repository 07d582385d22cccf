"""What a recipe may say about evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from luban.errors import RecipeError
from luban.messages import tr


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The `[evaluation]` section."""

    metrics: tuple[str, ...] = ()
    """Names of metrics; the first one chooses checkpoint and model. Left out: those of the task."""
    folds: Annotated[int, Ge(0), Le(1000)] = 0
    """k-fold cross-validation: every row is tested once, by a model that never saw it. 0 = one split."""
    baselines: bool = True
    """Fit the rungs below the chosen model and show them beside it; without them, `auto` is the network alone."""
    level: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Of the bootstrap intervals."""
    draws: Annotated[int, Gt(0), Le(100_000)] = 1000
    """Resamples behind each interval."""

    def __post_init__(self) -> None:
        """Raises RecipeError L125 for one fold, which would train on nothing."""
        if self.folds == 1:
            fix = tr("0 for one split, 2 or more for cross-validation")
            raise RecipeError(
                "L125", tr("one fold leaves no rows for training"), where="recipe.toml: evaluation.folds", received=1, fix=fix
            )
