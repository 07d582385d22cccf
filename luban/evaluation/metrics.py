"""Metrics: named functions of marks (what `Task.judge` says of each example), found by their name.

A family of metrics is a file `*_metrics.py` beside this one; whatever `Metric` it holds, or tuple of them, is found here.
Marks the families of today read, N examples and K classes:
  one class     label (N,) int64, -2 = a label never seen in training · guess (N,) int64 · chance (N, K) probabilities
  many labels   labels (N, K) bool · guess (N, K) bool · chance (N, K)
  lists         hits, relevant, listed …: see recommendation_metrics
  a quantity    truth (N,) · answer (N,), both in the user's unit
  a search      query (N, D) · partner (N, D), or group (N,)
  a text        nats (N,) · tokens (N,) · bytes (N,), sums over what was foretold
A score that these examples do not define (AUC of one class, R² of a constant) is nan; a prediction that is not finite is an error.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from luban.columns import Array, Columns
from luban.errors import DataError, RecipeError, TrainingError
from luban.evaluation.tally import Tally
from luban.messages import tr

PREDICTED = ("chance", "answer", "nats", "query", "partner")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named function of marks, which way is better, and what it asks of the marks."""

    name: str
    tally: Callable[[Columns], Tally]
    higher_is_better: bool
    needs: tuple[tuple[str, ...], ...]
    """Names of marks; any one of these sets is enough."""
    bounds: tuple[float, float] = (0.0, 1.0)
    titles: tuple[str, str] = ("", "")
    """How reports call it, in English and Chinese."""

    def __call__(self, marks: Columns) -> float:
        """The score; nan where these examples do not define it. Raises RecipeError L151, TrainingError L350, DataError L250."""
        return self.ready(marks).once()

    def ready(self, marks: Columns) -> Tally:
        """The marks checked and made ready to be scored under any counts."""
        if not self.fits(marks.data):
            raise RecipeError(
                "L151",
                tr("the metric {name} can't be computed for this task", name=self.name),
                where="recipe.toml: evaluation.metrics",
                received=self.name,
                allowed=[name for name, metric in metrics().items() if metric.fits(marks.data)],
                fix=tr("choose metrics that this task defines"),
            )
        check(marks)
        return self.tally(marks)

    def fits(self, names: Iterable[str]) -> bool:
        """Whether marks of these names are enough."""
        present = set(names)
        return any(present.issuperset(wanted) for wanted in self.needs)

    def beats(self, score: float, other: float) -> bool:
        """Whether a score is strictly better; a score that is not defined never is, and any defined one beats it."""
        if math.isnan(score) or math.isnan(other):
            return math.isnan(other) and not math.isnan(score)
        return score > other if self.higher_is_better else score < other

    @property
    def worst(self) -> float:
        """What every real score beats or equals; where a search for the best begins."""
        return -math.inf if self.higher_is_better else math.inf


def find(name: str, *, where: str = "recipe.toml: evaluation.metrics") -> Metric:
    """The metric of that name. Raises RecipeError L150 with the nearest."""
    if name not in metrics():
        fix = tr("choose one of the allowed metrics")
        raise RecipeError("L150", tr("unknown metric"), where=where, received=name, allowed=metrics(), fix=fix)
    return metrics()[name]


def score(name: str, marks: Columns) -> float:
    """The score of one metric by its name."""
    return find(name)(marks)


def scores(names: Iterable[str], marks: Columns) -> dict[str, float]:
    """The score of each metric by its name."""
    return {name: score(name, marks) for name in names}


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by its name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*_metrics.py")):
        module = importlib.import_module(f"luban.evaluation.{path.stem}")
        for value in vars(module).values():
            metrics_of = value if isinstance(value, tuple) else (value,)
            found |= {metric.name: metric for metric in metrics_of if isinstance(metric, Metric)}
    return found


def dense(marks: Columns, name: str) -> Array:
    """A mark as an array; floats as float64."""
    values = np.asarray(marks[name])
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def check(marks: Columns) -> None:
    """No score from predictions that are not finite. Raises TrainingError L350, DataError L250."""
    for name in PREDICTED:
        if name in marks and (bad := not_finite(marks, name)):
            raise TrainingError(
                "L350",
                tr("{count} predictions are not finite, the first for row {row}", count=len(bad), row=bad[0]),
                where=tr("evaluation: mark {name}", name=name),
                fix=tr("a lower training.learning_rate, or gradient clipping, keeps the model finite"),
            )
    if "truth" in marks and (bad := not_finite(marks, "truth")):
        raise DataError(
            "L250",
            tr("{count} rows have a target that is not finite, the first is row {row}", count=len(bad), row=bad[0]),
            where=tr("evaluation: mark {name}", name="truth"),
            fix=tr("reject or repair those rows before evaluating"),
        )


def not_finite(marks: Columns, name: str) -> list[int]:
    """The table rows whose mark holds NaN or infinity."""
    finite = np.isfinite(np.asarray(marks[name]))
    if finite.all():
        return []
    return marks.row[~finite.reshape(len(finite), -1).all(1)].tolist()
