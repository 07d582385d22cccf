"""A rung as a bundle: with a few rows nobody trained on, and a sketch of those it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luban.bundle.fingerprint import fingerprint
from luban.bundle.golden import NUMBER_OF_ROWS
from luban.bundle.write import write
from luban.data.prepare import ROW, Prepared
from luban.evaluation.ladder import Rung
from luban.recipe import Recipe


def bundle_of(rung: Rung, recipe: Recipe, prepared: Prepared, report: dict[str, Any], place: Path) -> None:
    """Write it."""
    known = fingerprint(prepared.examples["train"], [prepared.examples["validation"], prepared.examples["test"]])
    write(place, recipe, rung.task, rung.net, report=report, rows=golden_rows(prepared), fingerprint=known)


def golden_rows(prepared: Prepared) -> Any:
    """A few rows nobody trained on, or none."""
    target = prepared.recipe.target
    rows = prepared.raw.head(NUMBER_OF_ROWS).drop(ROW).collect()
    return rows.drop(target) if target in rows.columns else rows
