"""k-fold cross-validation: every row is tested once, by a model that never saw it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.capabilities import Describes
from luban.columns import Columns
from luban.data.completing import open_source, splitting_of, target_of
from luban.data.prepare import Prepared, build
from luban.data.source import Source
from luban.data.splits import TEST, TRAIN, Splitting, divide, folds
from luban.data.streaming import bytes_in_memory
from luban.energy import cpu_seconds
from luban.errors import DataError
from luban.evaluation.metrics import Metric
from luban.messages import tr
from luban.planning.forecast import Stage
from luban.planning.memory import Peak
from luban.planning.sample import Sample
from luban.recipe import Recipe

if TYPE_CHECKING:
    from luban.run.pipeline import Work

FEW_ROWS = 100_000  # that are divided for a forecast


def cross_validate(work: Work, recipe: Recipe, folder: Path, metric: Metric) -> dict[str, Columns]:
    """Pooled test marks by model name; `chosen` holds what each fold chose. Raises DataError L223 where a label is too rare."""
    if bytes_in_memory(recipe) > work.room:
        fix = tr("leave folds out: with so many rows one test split tells as much")
        raise DataError("L262", tr("folds need the data in memory, and it is too large"), where="recipe.toml: evaluation.folds", fix=fix)
    source, recipe = open_source(recipe)
    pooled: dict[str, list[Columns]] = {}
    labels: list[str] | None = None
    for number, parts in enumerate(parts_of(recipe, source)):
        work.tell("fold", number=number + 1, of=recipe.evaluation.folds)
        prepared = build(recipe, source, parts)
        found = getattr(type(prepared.task)(prepared.task.config, prepared.task.state), "labels", None)
        if labels is not None and found != labels:
            fix = tr("fewer folds, or drop labels with fewer rows than folds")
            raise DataError("L223", tr("a label is too rare: one fold trains without it"), where=str(recipe.target), fix=fix)
        labels = found
        for name, marks in fold_marks(work, prepared, folder / str(number + 1), metric).items():
            pooled.setdefault(name, []).append(marks)
    return {name: pool(parts) for name, parts in pooled.items()}


def dividing(recipe: Recipe, sample: Sample) -> list[Stage]:
    """What comes before each fold: all rows are read once more, and divided, fitted and encoded anew each time; measured where they are few."""
    count = recipe.evaluation.folds
    if count < 2:
        return []
    if sample.scale * sample.prepared.facts["rows"] > FEW_ROWS:
        return [Stage("divide", "", count * sample.seconds, count * sample.cpu_seconds, sample.peak_bytes, 1 / count)]
    begun, cpu = time.perf_counter(), cpu_seconds()
    with Peak() as peak:
        source, recipe = open_source(recipe)
        read = time.perf_counter() - begun
        build(recipe, source, parts_of(recipe, source)[0])
    whole = time.perf_counter() - begun
    seconds = read + count * (whole - read)
    return [Stage("divide", "", seconds, (cpu_seconds() - cpu) * seconds / whole, peak.bytes, 1 / count)]


def fold_marks(work: Work, prepared: Prepared, folder: Path, metric: Metric) -> dict[str, Columns]:
    """The test marks of every model of one fold, and of the one that was chosen."""
    rungs = work.climb(prepared, folder, metric)
    chosen = work.choose(rungs, metric)
    work.score(rungs, prepared)
    return {rung.name: rung.test for rung in rungs if rung.test is not None} | {"chosen": chosen.test}  # type: ignore[dict-item]


def parts_of(recipe: Recipe, source: Source) -> list[np.ndarray]:
    """For each fold the split of all rows: its own rows are the test, a share of the others validates."""
    split, seed, target = splitting_of(recipe), recipe.training.seed, target_of(recipe)
    if split.by not in ("random", "stratified") or split.group:
        raise DataError(
            "L224", tr("folds are cut at random; a split by time or group is not"), where="recipe.toml: split", received=split.by
        )
    labels = source.table[target] if split.by == "stratified" and target else None
    if labels is not None and isinstance(labels.dtype, pl.List):
        labels = None
    task = recipe.make_task()
    known = task.described(source.table) if isinstance(task, Describes) else np.zeros(len(source.table), bool)  # in every fold
    fold = np.full(len(known), -1)
    fold[~known] = folds(int((~known).sum()), recipe.evaluation.folds, labels, seed)
    out = []
    for number in range(recipe.evaluation.folds):
        rest = np.flatnonzero((fold != number) & ~known)
        parts = np.where(known, TRAIN, TEST).astype(np.int8)
        only = Splitting(validation=split.validation, test=0.0, by=split.by)
        parts[rest] = divide(source.table[rest], only, target=target, seed=seed)
        out.append(parts)
    return out


def pool(parts: list[Columns]) -> Columns:
    """Marks of all folds in the order of the rows."""
    whole = Columns.join(parts)
    return whole.take(np.argsort(whole.row, kind="stable"))


def without_test(recipe: Recipe) -> Recipe:
    """Where folds test, no row need be held out for it: the bundle learns from them too."""
    return replace(recipe, split=replace(recipe.split, test=0.0)) if recipe.evaluation.folds >= 2 else recipe
