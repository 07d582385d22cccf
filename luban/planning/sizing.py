"""`size = "auto"`: the size of the model that a budget and the memory allow, by a few steps of each.

Where the task states a law of scaling it is the size that leaves least to learn, else the largest that goes through the rows often enough.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from luban import catalog
from luban.columns import Columns
from luban.data.prepare import Prepared
from luban.errors import is_out_of_memory
from luban.evaluation.ladder import candidates, name_of
from luban.mapped import total
from luban.planning.choice import Choice, Tried
from luban.planning.machine import MARGIN, free_memory
from luban.planning.memory import resident
from luban.planning.rehearsal import untouched
from luban.planning.steps import try_steps
from luban.recipe import AUTO_SIZE, MIDDLE, Recipe
from luban.task import traits_of
from luban.training.budget import RESERVE, RESERVE_S, batch_size_of
from luban.training.settings import Training

ENOUGH = 4.0  # passes over the rows, or as many as the architecture wants if those are fewer
FEWEST_STEPS, OF_LONG_ROWS = 200, 1000  # in which a network is annealed; batches are halved to come to them
SMALLEST_BATCH, FEWEST_TOKENS = 16, 2048  # rows; tokens of a batch, where rows are so long that fewer of them suffice
TRAINING = 0.85  # share of what is left of a budget that the network is trained in; baselines and validations take the rest
ALLOWED, LEAST_S, MOST_S = 0.01, 0.3, 3.0  # share of a budget that the steps of one size may take, and its bounds
OF_THE_DATA = ("context", "length")  # what a size may not change: the rows are prepared for it


def is_open(recipe: Recipe) -> bool:
    """Whether the size is still to be chosen."""
    return recipe.model.get("size") == AUTO_SIZE


def with_choice(recipe: Recipe, prepared: Prepared, choice: Choice) -> tuple[Recipe, Prepared]:
    """Recipe and task with the size and the batch that were chosen."""
    recipe = replace(recipe, model=recipe.model | {"size": choice.size})
    if choice.batch_size is not None:
        recipe = replace(recipe, training=replace(recipe.training, batch_size=choice.batch_size))
    return recipe, replace(prepared, task=of_size(prepared.task, choice.size))


def of_size(task: Any, size: str) -> Any:
    """The task with its model in another size."""
    model = getattr(task.config, "model", None)
    return task if model is None else type(task)(replace(task.config, model=model | {"size": size}), task.state)


def choose_size(recipe: Recipe, prepared: Prepared, *, whole_s: float, left_s: float, scale: float = 1.0) -> Choice:
    """Try the sizes, the smallest first, till one is too slow or too large. `whole_s` is the budget, `left_s` what is left of it."""
    trained = TRAINING * max(0.1 * whole_s, left_s - max(RESERVE_S, RESERVE * whole_s)) / (1 + max(0, recipe.evaluation.folds))
    networks = [task for task, role in candidates(recipe, prepared.task) if role == "network"]
    if not networks or getattr(prepared.task.config, "model", {}).get("pretrained"):
        return Choice(MIDDLE, None, trained, [])
    train, patience = prepared.examples["train"], min(MOST_S, max(LEAST_S, ALLOWED * whole_s))
    tried: list[Tried] = []
    with untouched(recipe.training.seed):
        for size in sizes_of(name_of(networks[-1])):
            tried.append(attempt(networks[-1], size, train, recipe.training, trained, patience, scale))
            if is_beyond(tried):
                break
        chosen = best_of(tried)
        batch_size = smaller_batch(networks[-1], chosen, train, recipe.training, trained, patience, scale)
    return Choice(chosen.size, batch_size, trained, tried)


def is_beyond(tried: list[Tried]) -> bool:
    """Whether larger sizes than the last need not be tried."""
    last, before = tried[-1], tried[-2].left if len(tried) > 1 else None
    if last.left is None or not last.fits:
        return not last.good
    return before is not None and last.left > before


def best_of(tried: list[Tried]) -> Tried:
    """What leaves least to learn; without a law of scaling, the largest that is good."""
    lawful = [one for one in tried if one.fits and one.left is not None]
    if lawful:
        return min(lawful, key=lambda one: one.left or 0.0)
    return next((one for one in reversed(tried) if one.good), tried[0])


def sizes_of(model: str) -> list[str]:
    """The sizes of a model, smallest first, that read the rows as the middle one does."""
    sizes = catalog.find("models", model).stated.get("SIZES", {})
    middle = sizes.get(MIDDLE, {})
    return [name for name, own in sizes.items() if all(own.get(key) == middle.get(key) for key in OF_THE_DATA)] or [MIDDLE]


def attempt(task: Any, size: str, train: Columns, settings: Training, trained: float, patience: float, scale: float) -> Tried:
    """A few steps of one size. One that does not fit has no passes."""
    room, rows = max(1.0, free_memory() * MARGIN - resident()), round(len(train) * scale)
    batch_size = batch_size_of(settings, rows)
    try:
        steps, epoch, _ = try_steps(of_size(task, size), train, settings, patience=patience, room=room, scale=scale)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return Tried(size, 0, batch_size, 0.0, 0.0, ENOUGH, fits=False)
    step_s = float(steps.cost.seconds(epoch.costs()).mean())
    passes, most = trained / (step_s * epoch.count), min(steps.epochs or 1e18, (settings.steps or 1e18) / epoch.count)
    fits, law = steps.peak_bytes + steps.parts.copies <= room + resident(), traits_of(task).scaling
    left = None
    if law is not None and train.size is not None:
        text = total(train.size) * scale
        left = law.left(weights=steps.parameters, seen=min(passes, most) * text, different=text)
    return Tried(size, steps.parameters, batch_size, step_s, passes, min(ENOUGH, most), fits, left)


def smaller_batch(
    task: Any, chosen: Tried, train: Columns, settings: Training, trained: float, patience: float, scale: float
) -> int | None:
    """Half the batch, and half again, while a training has too few steps and halves are not slower a row; None = the usual one."""
    if settings.batch_size is not None or settings.optimizer == "gd" or not chosen.fits:
        return None
    if (least := smallest_batch(train)) < SMALLEST_BATCH:
        return of_long_rows(chosen, trained, least)
    best, until = chosen, time.perf_counter() + 2 * patience
    while trained / max(best.step_seconds, 1e-9) < FEWEST_STEPS and best.batch_size // 2 >= least and time.perf_counter() < until:
        halved = attempt(task, chosen.size, train, replace(settings, batch_size=best.batch_size // 2), trained, patience, scale)
        if not halved.fits or halved.passes < 0.8 * best.passes:
            break
        best = halved
    return None if best is chosen else best.batch_size


def of_long_rows(chosen: Tried, trained: float, least: int) -> int | None:
    """The same of rows of so many tokens that each takes as long in a small batch: nothing need be tried."""
    rows, step_s = chosen.batch_size, chosen.step_seconds
    while trained / max(step_s, 1e-9) < OF_LONG_ROWS and rows // 2 >= least:
        rows, step_s = rows // 2, step_s / 2
    return None if rows == chosen.batch_size else rows


def smallest_batch(train: Columns) -> int:
    """Rows that a batch has at least: fewer of long ones."""
    tokens = 1.0 if train.size is None else total(train.size) / max(1, len(train))
    return max(1, min(SMALLEST_BATCH, round(FEWEST_TOKENS / max(1.0, tokens))))
