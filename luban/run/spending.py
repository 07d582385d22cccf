"""What a run's budget allows, and what of it is spent: time, energy or money, of all sittings."""

from __future__ import annotations

from typing import Any

from luban.recipe import Recipe
from luban.run.clock import Clock
from luban.run.forecasting import kept_back
from luban.training.budget import Purse, amount_of, is_late, left_for_fits

PASSES = 2.0  # over the validation rows at the end: the last that chooses, and the one that is reported


class Spending:
    """Of one run; all amounts in the unit of the budget."""

    def __init__(self, recipe: Recipe, clock: Clock) -> None:
        self.recipe, self.clock = recipe, clock
        budget = recipe.training.budget
        self.amount = amount_of(budget) if budget is not None else None
        self.fits_left = 1 + max(0, recipe.evaluation.folds)  # of networks, which share the budget
        self.forecast: dict[str, Any] | None = None

    @property
    def spent(self) -> float:
        """Till now."""
        return self.recipe.costs.spent(self.amount.unit, self.clock.seconds, self.clock.kwh) if self.amount else 0.0

    @property
    def rate(self) -> float:
        """Spent a second till now."""
        return max(self.spent / max(self.clock.seconds, 1e-6), 1e-12)

    def is_late(self, model: str) -> bool:
        """Whether half of the budget is spent before this baseline begins, or it would take too much of it."""
        if self.amount is None:
            return False
        stages = self.forecast["stages"] if self.forecast else []
        foreseen = [stage["seconds"] for stage in stages if (stage["name"], stage["model"]) == ("solve", model)]
        return is_late(self.amount.value, self.spent, sum(foreseen) * self.rate if foreseen else None)

    @property
    def tried(self) -> tuple[str, str] | None:
        """The precision that the run's own forecast chose; under no budget the run can afford to look again, at whole batches."""
        network = self.forecast and self.forecast["network"]
        if not network or self.amount is None or self.recipe.training.precision != "auto":
            return None
        return network["precision"], network["why"]

    def purse(self, *, validated: bool, tested: float = 0.0) -> Purse | None:
        """What the next network may take; what follows it is kept back: where nothing was foreseen, passes over the test rows too, so many
        times the validation rows."""
        if self.amount is None:
            return None
        whole_s = self.amount.value / self.rate
        left = left_for_fits(self.amount.value, self.spent, self.fits_left, kept_back(self.forecast, whole_s) * self.rate)
        self.fits_left = max(1, self.fits_left - 1)
        return Purse(left, lambda: self.spent, PASSES + (0.0 if self.forecast else tested) if validated else 0.0, left / self.rate)
