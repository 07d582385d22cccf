"""Settings that the chosen model does not heed are said aloud, once."""

from __future__ import annotations

import dataclasses
from typing import Any

from luban.errors import warn
from luban.messages import tr
from luban.recipe import Recipe
from luban.task import traits_of

OF_ALL = ("seed", "budget", "threads", "memory")  # of [training], what matters to a solved model too
OF_OPTIMIZER = {"momentum": ("sgd", "muon")}  # settings that only some optimizers have


def warn_unused(recipe: Recipe, task: Any, *, solved: bool) -> None:
    """Name what was changed from its default without effect."""
    usual = traits_of(task).training
    training = [name for name in changed(recipe.training) if getattr(recipe.training, name) != usual.get(name)]
    if solved:
        unused = [f"training.{name}" for name in training if name not in OF_ALL]
        unused += [f"task.{name}" for name in changed(task.config) if name in traits_of(task).of_networks]
        what = tr("{model} is solved, not stepped: {settings} have no effect", model=recipe.model["kind"], settings=", ".join(unused))
    else:
        unused = [f"training.{name}" for name, users in OF_OPTIMIZER.items() if name in training and recipe.training.optimizer not in users]
        what = tr("{optimizer} has no use for {settings}", optimizer=recipe.training.optimizer, settings=", ".join(unused))
    if unused:
        warn("W110", what, where="recipe.toml", fix=tr("leave them out"))


def changed(config: Any) -> list[str]:
    """Names of the fields that differ from their defaults."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.default is not dataclasses.MISSING and getattr(config, field.name) != field.default
    ]
