"""Labels that are probably wrong: confident learning over out-of-fold chances (Northcutt, Jiang and Chuang 2021, eq. 1 and 2).

A row is suspect when a label other than its own reaches that label's own mean confidence: off the diagonal of the confident joint.
N rows of the sample, K labels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Columns
from luban.data.accounting import unlabelled
from luban.data.checks import Subject
from luban.data.prepare import select
from luban.data.splits import folds
from luban.draw import key_of, mix
from luban.errors import DataError, logger
from luban.predicting import marks_of
from luban.recipe import Recipe
from luban.supervised import FLAT_KINDS
from luban.training.solving import solve

MOST_ROWS = 2_000
FOLDS = 4
FEWEST = 8  # rows of a label, below which it is not judged
MOST_LABELS = 50
LEARNERS = {
    "boosted": {"kind": "boosted", "size": "tiny", "rounds": 60},
    "linear": {"kind": "linear", "size": "tiny", "longest": 2, "strength": 3.0},
}


@dataclass(frozen=True)
class Suspect:
    """A row whose label another model would not give."""

    row: int
    given: str
    suggested: str
    confidence: float  # out of fold, in the suggested label
    own: float  # in the given one


@dataclass(frozen=True)
class Suspects:
    """All of them, the surest first, and how they were found."""

    rows: list[Suspect]
    looked_at: int
    labelled: int
    model: str


def suspects(recipe: Recipe, subject: Subject) -> Suspects | None:
    """Suspect labels among at most 2,000 rows; None where the task has no single labels, or too few or too many of them."""
    labels = subject.labels
    if labels is None or recipe.task["kind"] != "classification":
        return None
    counts = labels.drop_nulls().value_counts(name="rows")
    judged = counts.filter(pl.col("rows") >= FEWEST)[labels.name].sort()
    usable = (labels.is_in(judged.implode()) & ~pl.Series(unlabelled(subject.table, subject.target))).fill_null(False)
    if not 2 <= len(judged) <= MOST_LABELS:
        return None
    rows = np.flatnonzero(usable.to_numpy())
    kept = np.sort(rows[np.argsort(mix(rows.astype(np.uint64) ^ np.uint64(key_of(0, "suspects"))), kind="stable")[:MOST_ROWS]])
    model = "boosted" if all(kind in FLAT_KINDS and kind != "text" for kind in subject.inputs.values()) else "linear"
    with unheard():
        place, chance = out_of_fold(recipe, subject.table[kept], labels[kept], judged.to_list(), model)
    codes = np.searchsorted(judged.to_numpy().astype(str), labels[kept].to_numpy().astype(str))
    found = confident_errors(codes[place], chance)
    named = [
        Suspect(
            int(kept[place[at]]),
            judged[int(codes[place[at]])],
            judged[other],
            float(chance[at, other]),
            float(chance[at, codes[place[at]]]),
        )
        for at, other in found
    ]
    return Suspects(named, len(place), len(rows), model)


@contextmanager
def unheard() -> Iterator[None]:
    """Warnings about parts of a sample mean nothing to the reader."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def out_of_fold(recipe: Recipe, table: pl.DataFrame, labels: pl.Series, names: list[str], model: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) places in the table and (n, K) chances by a model that never saw the row; rows that can't be encoded are left out."""
    own = recipe.make_task()
    fold = folds(len(table), FOLDS, labels, 0)
    places, chances = [], []
    for number in range(FOLDS):
        parts = np.where(fold == number, 2, 0)
        task = type(own)(replace(own.config, model=LEARNERS[model], class_weight="none", loss="cross_entropy", label_smoothing=0.0))
        try:
            task = type(own)(task.config, task.fit(table.filter(pl.Series(parts == 0))))
        except DataError:
            continue  # the training rows of this fold say nothing; its rows stay unjudged
        encoded = task.encode(table)
        marks = judged_by(task, select(task, encoded, parts, 0), select(task, encoded, parts, 2))
        chance = np.zeros((len(marks), len(names)))
        chance[:, [names.index(label) for label in task.labels]] = marks["chance"]
        places.append(marks.row)
        chances.append(chance)
    return np.concatenate(places or [np.zeros(0, np.int64)]), np.concatenate(chances or [np.zeros((0, len(names)))])


def judged_by(task: Any, train: Columns, held: Columns) -> Columns:
    """Marks of the held-out rows under a model solved on the others."""
    net = task.build()
    solve(task, net, train, seed=0, folder=None, tell=lambda event, **facts: None)
    return marks_of(task, net.eval(), held)


def confident_errors(codes: np.ndarray, chance: np.ndarray) -> list[tuple[int, int]]:
    """(place, other label) of rows off the diagonal of the confident joint, those first whose other label leads by most.

    codes (N,) the given labels, chance (N, K).
    """
    rows, classes = chance.shape
    own = chance[np.arange(rows), codes]
    limits = np.array([own[codes == label].mean() if (codes == label).any() else np.inf for label in range(classes)])  # eq. 2
    confident = np.where(chance >= limits, chance, -1.0)  # eq. 1
    other = confident.argmax(1)
    off = (
        np.flatnonzero((confident.max(1) >= 0) & (other != codes) & (chance[np.arange(rows), other] > own))
        if rows
        else np.zeros(0, np.int64)
    )
    lead = chance[off, other[off]] - own[off]
    return [(int(place), int(other[place])) for place in off[np.argsort(-lead, kind="stable")]]
