"""The stages as they will follow each other: what a budget cuts short, what folds repeat."""

from __future__ import annotations

import math
from dataclasses import replace

from luban.errors import warn
from luban.messages import tr
from luban.planning.forecast import Forecast, Network, Stage
from luban.recipe import Recipe
from luban.training.budget import RESERVE, RESERVE_S, RESERVE_SHORT, RESERVE_SHORT_S, is_late, left_for_fits

SCORED = ("judge", "score")  # the last validation, where it is another than those before, and the test split
AFTERWARDS = (*SCORED, "divide", "report")  # what follows when every model is fitted
FITS = ("solve", "settle", "train", "validate", "save")
SPARE = 1.1  # of what evaluation and report were foreseen to take, that much is kept back
FULL, OVER = 0.9, 1.03  # of a budget: below, it cuts nothing short; above, it is not kept
FEW_STEPS = 50  # from which little is learnt
VALIDATED = 0.1  # share of a budgeted training that validations may take


def follow(stages: list[Stage], network: Network | None, recipe: Recipe, budget_s: float | None) -> tuple[list[Stage], Network | None]:
    """The stages in the order of the run, and the network with the steps it will get to in a budget of so many seconds."""
    before = [stage for stage in stages if stage.name not in AFTERWARDS]
    scores = [stage for stage in stages if stage.name in SCORED]
    if budget_s is not None:
        before, network = within(before, network, recipe, budget_s, reserve_s(stages, budget_s))
        scores = [stage for stage in scores if any(other.model == stage.model for other in before)]
    folds = [stage for stage in stages if stage.name == "divide"] + repeated(before, scores, recipe)
    return [*before, *scores, *folds, *(stage for stage in stages if stage.name == "report")], network


def within(
    stages: list[Stage], network: Network | None, recipe: Recipe, budget_s: float, reserve: float
) -> tuple[list[Stage], Network | None]:
    """What fits into the budget: a rung that comes late is left out, the network ends when its seconds are spent."""
    kept, left_out, asked_for = list[Stage](), set[str](), recipe.model["kind"]
    for stage in stages:
        spent = sum(other.seconds for other in kept)
        first = stage.model == asked_for or not any(other.name == "solve" for other in kept)
        if stage.name == "solve" and not first and is_late(budget_s, spent, stage.seconds):
            left_out.add(stage.model)
        if stage.model not in left_out:
            kept.append(stage)
    if network is None:
        return kept, None
    own = [stage for stage in kept if stage.model == network.name and stage.name in ("train", "validate", "save")]
    spent = sum(stage.seconds for stage in kept if stage not in own)
    seconds = left_for_fits(budget_s, spent, 1 + max(0, recipe.evaluation.folds), reserve)
    return shortened(kept, own, network, seconds, recipe)


def reserve_s(stages: list[Stage], budget_s: float) -> float:
    """Seconds of a budget that are kept back for what follows the training: as foreseen, where the run makes a forecast of its own."""
    if not any(stage.name == "plan" and stage.seconds for stage in stages):
        return max(RESERVE_S, RESERVE * budget_s, min(RESERVE_SHORT_S, RESERVE_SHORT * budget_s))
    return SPARE * sum(stage.seconds for stage in stages if stage.name in (*SCORED, "report"))


def shortened(kept: list[Stage], own: list[Stage], network: Network, seconds: float, recipe: Recipe) -> tuple[list[Stage], Network]:
    """The network's stages cut to so many seconds in all."""
    if sum(stage.seconds for stage in own) <= seconds:
        return kept, network
    every = recipe.training.checkpoint_every_s
    cuts: dict[str, float] = {}
    for stage in own:
        whole = max(stage.seconds, 1e-9)
        if stage.name == "validate":
            cuts["validate"] = min(1.0, (VALIDATED * seconds + 0.5) / whole)
        elif stage.name == "save":
            saves = 1 + sum(other.seconds for other in own if other.name == "train") // every
            cuts["save"] = min(1.0, (1 + seconds // every) / saves)
    train = next(stage for stage in own if stage.name == "train")
    others = sum(stage.seconds * cuts.get(stage.name, 1.0) for stage in own if stage.name != "train")
    cuts["train"] = min(1.0, max(0.0, seconds - others) / max(train.seconds, 1e-9))
    network = replace(network, steps=round(network.steps * cuts["train"]), epochs=network.epochs * cuts["train"])
    return [stage.of(cuts[stage.name]) if stage in own else stage for stage in kept], network


def warn_tight(forecast: Forecast) -> None:
    """Say so where a budget is foreseen not to be kept, or to leave hardly a step."""
    whole, network = forecast.budget_s, forecast.network
    if whole is None or network is None or forecast.seconds < FULL * whole:
        return
    others = forecast.seconds - sum(stage.seconds for stage in forecast.stages if stage.name == "train")
    if forecast.seconds <= OVER * whole and network.steps >= FEW_STEPS:
        return
    say_tight(others, whole, network.steps)


def warn_spent(spent_s: float, whole_s: float) -> None:
    """The same of a budget too short for a forecast, as soon as nothing of it is left to train in."""
    others = spent_s + reserve_s([], whole_s)
    if others >= whole_s:
        say_tight(others, whole_s, 0)


def say_tight(others: float, whole: float, steps: int) -> None:
    """W332."""
    what = tr(
        "about {others:.0f} s go to all but training, of a budget of {whole:.0f} s: {steps} steps are left",
        others=others, whole=whole, steps=steps,
    )  # fmt: skip
    warn("W332", what, where="training.budget", fix=tr("give {seconds:.0f} s, or a smaller model or fewer rows", seconds=enough(others)))


def enough(others: float) -> float:
    """A budget of which half is training, in tens of seconds."""
    return 10 * math.ceil(2 * others / 10)


def repeated(before: list[Stage], scores: list[Stage], recipe: Recipe) -> list[Stage]:
    """All fits again for each fold, on the rows that it trains on."""
    folds, split = recipe.evaluation.folds, recipe.split
    if folds < 2:
        return []
    rows = (1 - 1 / folds) * (1 - split.validation) / (1 - split.validation - split.test)
    fits, scores = [stage.again for stage in before if stage.name in FITS], [stage.again for stage in scores]
    tested = 1 / folds / max(split.test, 1 / folds)
    seconds = rows * sum(stage.seconds for stage in fits) + tested * sum(stage.seconds for stage in scores)
    cpu = rows * sum(stage.cpu_seconds for stage in fits) + tested * sum(stage.cpu_seconds for stage in scores)
    peak = max((stage.peak_bytes for stage in fits), default=0)
    return [Stage("folds", "", folds * seconds, folds * cpu, peak, min((stage.share for stage in fits), default=1.0))]
