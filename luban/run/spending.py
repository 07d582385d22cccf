"""What a run's budget allows, and what of it is spent: time, energy or money, of all sittings."""

from __future__ import annotations

from typing import Any

from luban.columns import Columns
from luban.evaluation.ladder import name_of
from luban.planning.rehearsal import untouched
from luban.planning.solving import solving
from luban.recipe import Recipe
from luban.run.clock import Clock
from luban.run.forecasting import kept_back
from luban.training.budget import LATE, Purse, amount_of, is_late, left_for_fits

LOOK, MOST_LOOK_S = 0.01, 1.0  # share of a budget, and seconds at the most, in which a baseline is looked at that no forecast knows


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

    def is_late(self, task: Any, train: Columns) -> bool:
        """Whether half of the budget is spent before this baseline begins, or it would take too much of it."""
        if self.amount is None:
            return False
        foreseen = self.foreseen(task, train)
        return is_late(self.amount.value, self.spent, None if foreseen is None else foreseen * self.rate)

    def foreseen(self, task: Any, train: Columns) -> float | None:
        """Seconds that a baseline takes: by the run's forecast, and where it made none by a short look; None where that is too late."""
        if self.forecast:
            found = [s["seconds"] for s in self.forecast["stages"] if (s["name"], s["model"]) == ("solve", name_of(task))]
            return sum(found) if found else None
        if self.amount is None or self.spent > LATE * self.amount.value or not len(train):
            return None
        with untouched(self.recipe.training.seed):
            patience = LOOK * self.amount.value / self.rate
            return solving(task, train, self.recipe.training, patience=min(MOST_LOOK_S, patience), rough=True)[0].seconds

    @property
    def tried(self) -> tuple[str, str] | None:
        """The precision that the run's own forecast chose; under no budget the run can afford to look again, at whole batches."""
        network = self.forecast and self.forecast["network"]
        if not network or self.amount is None or self.recipe.training.precision != "auto":
            return None
        return network["precision"], network["why"]

    def purse(self, *, passes: float = 0.0, tested: float = 0.0) -> Purse | None:
        """What the next network may take; what follows it is kept back: so many passes over the validation rows, and where nothing was foreseen
        over the test rows too, so many times the validation rows."""
        if self.amount is None:
            return None
        whole_s = self.amount.value / self.rate
        left = left_for_fits(self.amount.value, self.spent, self.fits_left, kept_back(self.forecast, whole_s) * self.rate)
        self.fits_left = max(1, self.fits_left - 1)
        return Purse(left, lambda: self.spent, passes + (0.0 if self.forecast else tested), left / self.rate, self.spent)
