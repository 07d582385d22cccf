"""Checkpoint folders that a model section names, seen from the recipe, from elsewhere, or as a name alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def folders(model: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The section with every checkpoint folder changed, those of its encoders too."""
    out = dict(model)
    if isinstance(model.get("pretrained"), str) and model["pretrained"]:
        out["pretrained"] = change(model["pretrained"])
    if isinstance(model.get("encoders"), dict):
        out["encoders"] = {key: folders(part, change) if isinstance(part, dict) else part for key, part in model["encoders"].items()}
    return out


def located(model: dict[str, Any], base: Path) -> dict[str, Any]:
    """Whole paths, of what a recipe in the folder `base` says."""
    return folders(model, lambda path: str((base / path).absolute()))


def named(model: dict[str, Any]) -> dict[str, Any]:
    """Names alone: what a bundle says of where it came from."""
    return folders(model, lambda path: Path(path).name or "checkpoint")
