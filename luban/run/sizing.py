"""The size that a run's budget decides: chosen once, kept as `size.json`, the same when the run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from luban.data.prepare import Prepared
from luban.errors import RecipeError, say
from luban.files import write_whole
from luban.messages import tr
from luban.planning.choice import Choice, from_dict
from luban.planning.rehearsal import budget_s
from luban.planning.sizing import choose_size, is_open, with_choice
from luban.recipe import AUTO_SIZE, Recipe
from luban.run.clock import Clock
from luban.training.distributed import world

SIZE = "size.json"


def sized(recipe: Recipe, prepared: Prepared, folder: Path, clock: Clock) -> tuple[Recipe, Prepared, dict[str, Any] | None]:
    """Recipe and data with the size decided, and what decided it; None where the recipe says it. Raises RecipeError L131."""
    if not is_open(recipe):
        return recipe, prepared, None
    if world()[1] > 1:
        what, fix = tr("a size is tried by one process, and there are several"), 'size = "base"'
        raise RecipeError("L131", what, where="recipe.toml: model.size", received=AUTO_SIZE, fix=fix)
    place = folder / SIZE
    if place.is_file():
        choice = from_dict(json.loads(place.read_bytes()))
    else:
        choice = chosen(recipe, prepared, clock.seconds)
        write_whole(place, json.dumps(choice.as_dict(), indent=1).encode())
        say(choice.why())
    return *with_choice(recipe, prepared, choice), choice.as_dict()


def chosen(recipe: Recipe, prepared: Prepared, spent_s: float, *, scale: float = 1.0) -> Choice:
    """The choice when so many seconds were spent."""
    whole_s = budget_s(recipe, None, torch.get_num_threads())
    return choose_size(recipe, prepared, whole_s=whole_s, left_s=whole_s - spent_s, scale=scale)
