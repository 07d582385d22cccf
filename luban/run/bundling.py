"""A rung as a bundle: with a few rows nobody trained on, and a sketch of those it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from luban.bundle import reference
from luban.bundle.fingerprint import fingerprint
from luban.bundle.golden import NUMBER_OF_ROWS
from luban.bundle.write import write
from luban.data.prepare import ROW, Prepared
from luban.evaluation.ladder import Rung
from luban.recipe import Recipe

SAMPLE = 20_000  # training rows whose histograms are kept


def bundle_of(rung: Rung, recipe: Recipe, prepared: Prepared, report: dict[str, Any], place: Path) -> None:
    """Write it."""
    known = fingerprint(prepared.examples["train"], [prepared.examples["validation"], prepared.examples["test"]])
    known |= {"histograms": histograms(rung, prepared)}
    write(place, recipe, rung.task, rung.net, report=report, rows=golden_rows(prepared), fingerprint=known)


def histograms(rung: Rung, prepared: Prepared) -> dict[str, reference.Sketch]:
    """Of an even sample of the training rows, and of the answers to held-out ones: what later rows and answers are held against."""
    train = prepared.examples["train"]
    found = reference.sketches(train.take(np.arange(0, len(train), max(1, len(train) // SAMPLE))))
    marks = rung.test if rung.test is not None else rung.validation
    values = None if marks is None else reference.of_marks(marks)
    return found | ({} if values is None or not len(values) else {reference.ANSWER: reference.sketch(values)})


def golden_rows(prepared: Prepared) -> Any:
    """A few rows nobody trained on, or none."""
    target = prepared.recipe.target
    rows = prepared.raw.head(NUMBER_OF_ROWS).drop(ROW).collect()
    return rows.drop(target) if target in rows.columns else rows
