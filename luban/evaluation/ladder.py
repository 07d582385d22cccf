"""The ladder: models from the cheapest to the dearest, judged on validation; the cheapest within one standard error of the best is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from luban.capabilities import Climbs, Glances
from luban.columns import Columns
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import Metric, find
from luban.evaluation.schema import LadderRow, Score
from luban.predicting import marks_of
from luban.supervised import is_solved
from luban.task import traits_of

ONE_ERROR = 0.6827  # share of a normal distribution within one standard error
CONSTANTS = ("majority", "popularity")
Role = Literal["baseline", "network"]


@dataclass
class Rung:
    """One model, fitted."""

    name: str
    task: Any
    net: nn.Module
    role: Role
    seconds: float
    rows: int | None = None  # it learnt from, where they are not all
    validation: Columns | None = None  # marks
    test: Columns | None = None
    chosen: bool = False
    error: str | None = None

    @property
    def parameters(self) -> int:
        """Numbers that were learnt."""
        trained = sum(p.numel() for p in self.net.parameters() if p.requires_grad)
        return trained or sum(b.numel() for b in self.net.buffers() if b.is_floating_point())

    def row(self, metrics: tuple[str, ...], *, level: float, draws: int) -> LadderRow:
        """Its line in the report."""
        return {
            "name": self.name,
            "kind": self.name,
            "role": self.role,
            "parameters": self.parameters,
            "fit_seconds": round(self.seconds, 2),
            "fit_rows": self.rows,
            "validation": scored(metrics, self.validation, level=level, draws=draws),
            "test": scored(metrics, self.test, level=level, draws=draws) if self.test is not None else None,
            "chosen": self.chosen,
            "error": self.error,
        }


def candidates(recipe: Any, task: Any) -> list[tuple[Any, Role]]:
    """(task, role), the cheapest first; the model the recipe names stands last, `auto` brings its own."""
    auto = recipe.model["kind"] == "auto" and hasattr(task.config, "model")
    ladder = list(task.rungs()) if isinstance(task, Climbs) and (auto or recipe.evaluation.baselines) else []
    ladder += [] if auto else [task]
    found: list[tuple[Any, Role]] = [(rung, "baseline" if solved(rung) else "network") for rung in ladder]
    return found if recipe.evaluation.baselines else found[-1:]


def looked_at(task: Any, examples: dict[str, Columns], metric: Metric, *, last: bool) -> Columns:
    """The validation examples that judge a network between its steps, or at last every rung; all of them, unless answers are dear."""
    validation = examples["validation"]
    if not isinstance(task, Glances) or (last and not len(examples["test"])):
        return validation
    return task.glance(validation, metric.name, last=last)


def solved(task: Any) -> bool:
    """Whether the task's model is solved rather than trained; nothing is built."""
    model = getattr(task.config, "model", {})
    if model.get("pretrained") and traits_of(task).trains_whole:
        model = {"adapt": "full"} | model  # here `auto` is no linear head
    return "kind" in model and is_solved(model, getattr(task.config, "inputs", {}))


def name_of(task: Any) -> str:
    """The model's kind, or the task's."""
    return getattr(task.config, "model", {}).get("kind") or type(task).__name__.lower()


def scored(metrics: tuple[str, ...], marks: Columns | None, *, level: float, draws: int) -> dict[str, Score]:
    """Each metric with its interval; what these examples do not define is null."""
    if marks is None or not len(marks):
        return {}
    out: dict[str, Score] = {}
    for name in metrics:
        metric = find(name)
        if metric.fits(marks.data):
            low, high = interval(metric, marks, draws=draws, level=level)
            out[name] = {"value": defined(metric(marks)), "low": defined(low), "high": defined(high)}
    marks.release()
    return out


def defined(value: float) -> float | None:
    """None for a score that these examples do not define."""
    return value if math.isfinite(value) else None


def choose(rungs: list[Rung], metric: Metric, *, draws: int = 1000) -> Rung:
    """The cheapest model within one standard error of the best by validation (Breiman et al. 1984, section 3.4.3).

    The error is that of the difference on the same rows. A constant is chosen only where nothing is better.
    """
    able = [rung for rung in rungs if rung.error is None]
    judged = [rung for rung in able if rung.validation is not None and len(rung.validation) and not math.isnan(metric(rung.validation))]
    if not judged:
        return able[-1]
    best = best_of(judged, metric)
    for rung in judged:
        if rung is best:
            break
        if rung.name in CONSTANTS:
            continue
        low, high = paired_interval(metric, best.validation, rung.validation, draws=draws, level=ONE_ERROR)  # type: ignore[arg-type]
        if low <= 0 <= high:
            return rung
    return best


def best_of(rungs: list[Rung], metric: Metric) -> Any:
    """The chosen one, else the first of the best by validation; None of none."""
    best: Rung | None = None
    for rung in rungs:
        if rung.chosen:
            return rung
        if rung.validation is None or not len(rung.validation):
            best = best or rung
        elif best is None or best.validation is None or metric.beats(metric(rung.validation), metric(best.validation)):
            best = rung
    return best


def metrics_of(recipe: Any, task: Any, train: Columns) -> tuple[str, ...]:
    """The recipe's metrics, or those of the task's that some model's marks allow. Raises RecipeError L151 before anything is trained.

    The first one must be defined for every model: it chooses among them.
    """
    few, ladder = train.take(np.arange(min(2, len(train)))), candidates(recipe, task)
    judged = [marks_of(ladder[0][0], ladder[0][0].build(), few)]
    wanted = recipe.evaluation.metrics or task.metrics
    if len(ladder) > 1 and not all(find(name).fits(judged[0].data) for name in wanted):  # the cheapest may say less than the network
        judged.append(marks_of(ladder[-1][0], ladder[-1][0].build(), few))
    for place, name in enumerate(recipe.evaluation.metrics):
        for marks in judged if place == 0 else [max(judged, key=lambda marks: find(name).fits(marks.data))]:
            find(name).ready(marks)
    return recipe.evaluation.metrics or tuple(name for name in wanted if any(find(name).fits(marks.data) for marks in judged))


def usable(names: tuple[str, ...], marks: Columns) -> tuple[str, ...]:
    """The metrics that these marks allow."""
    return tuple(name for name in names if find(name).fits(marks.data))
