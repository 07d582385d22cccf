"""The settings of a model from the section of a recipe: what its size stands for, and what is written on top."""

from __future__ import annotations

from typing import Any

from luban import catalog
from luban.errors import RecipeError
from luban.messages import tr
from luban.schema import validate

PLAIN = ("tiny", "small", "base")


def config_of(section: dict[str, Any], *, where: str = "model", also: tuple[str, ...] = ("kind", "size")) -> Any:
    """The Config of a model; `also` names keys of the section that others read. Raises RecipeError L102, L104, L105, L108."""
    entry, model = catalog.find("models", section["kind"], where=where), catalog.load("models", section["kind"])
    sizes = entry.stated.get("SIZES", {name: {} for name in PLAIN})
    size = section.get("size", "small")
    if not isinstance(size, str) or size not in sizes:
        raise RecipeError("L108", tr("unknown size"), where=f"{where}.size", received=size, allowed=sizes)
    own = {key: value for key, value in section.items() if key not in also}
    return validate(model.Config, sizes[size] | own, where=where, also=also)
