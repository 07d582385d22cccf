"""An opened bundle: predict and evaluate, from the bundle alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from luban.bundle.attention import Attention, attention_of
from luban.bundle.fingerprint import warn_of_training_rows
from luban.bundle.format import MANIFEST
from luban.bundle.read import open_bundle
from luban.data.reading import Reading
from luban.errors import DataError, warn
from luban.evaluation.ladder import scored, usable
from luban.evaluation.metrics import find
from luban.messages import tr
from luban.predicting import answers_of, marks_of
from luban.schema import validate
from luban.task import arrange

Rows = pl.DataFrame | Iterable[Mapping[str, Any]]


class Model:
    """A task with its net, read from a bundle."""

    def __init__(self, description: dict[str, Any], task: Any, net: nn.Module, report: dict[str, Any], fingerprint: dict[str, Any]) -> None:
        self.description, self.task, self.net, self.report, self.fingerprint = description, task, net, report, fingerprint

    @property
    def signature(self) -> dict[str, Any]:
        """Columns it reads and their kinds, and the target."""
        return self.description["signature"]

    @property
    def reading(self) -> Reading:
        """How files of its kind are read, as the recipe had it."""
        return validate(Reading, self.description["recipe"].get("reading", {}), where="bundle: reading")

    @property
    def asking(self) -> Reading:
        """How files of rows to be answered are read: as `reading`, or as the task has it."""
        return replace(self.reading, **getattr(self.task, "asking", {}))

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """One answer a row, in order; a row that cannot be read is answered with None and `error`. Raises DataError L201, L226.

        >>> model.predict([{"review": "房间很干净"}])  # doctest: +SKIP
        [{'label': 'positive', 'confidence': 0.98, 'chances': {'negative': 0.02, 'positive': 0.98}}]
        """
        return self.answers(as_table(rows)).to_dicts()

    def answers(self, table: pl.DataFrame) -> pl.DataFrame:
        """The answers as a table, one row a row of the table where a row is an example."""
        self.check_columns(table, getattr(self.task, "optional", ()))
        table = table.drop(self.signature.get("target") or "", strict=False)  # what is asked for can't be at fault
        answers, rejects, kept = answers_of(self.task, self.net, table)
        if not rejects:
            return answers
        reasons = [None] * len(table)
        for reject in rejects:
            reasons[reject.row] = f"{reject.column}: {reject.reason}"  # type: ignore[call-overload]
        places = pl.DataFrame({"row": kept.tolist()}, schema={"row": pl.Int64})
        whole = pl.DataFrame({"row": range(len(table)), "error": reasons}, schema={"row": pl.Int64, "error": pl.String})
        if not len(answers):
            return whole.drop("row")
        return (
            whole.join(pl.concat([places, answers], how="horizontal"), on="row", how="left", maintain_order="left")
            .drop("row")
            .select(*answers.columns, "error")
        )

    def evaluate(
        self, rows: Rows, *, metrics: tuple[str, ...] = (), level: float = 0.95, draws: int = 1000
    ) -> dict[str, dict[str, float | None]]:
        """Each metric with its interval, on rows that hold the target. Raises DataError L201, L227."""
        table = as_table(rows)
        target = self.signature.get("target")
        self.check_columns(table)
        if target and target not in table.columns:
            raise DataError("L201", tr("no such column"), where=tr("the target"), received=target, allowed=table.columns)
        columns = self.task.encode(table)
        if columns.rejects:
            first = columns.rejects[0]
            what = tr("{n} rows can't be read and are not scored; the first: {reason}", n=len(columns.rejects), reason=first.reason)
            warn("W232", what, where=first.column)
        examples = arrange(self.task, columns, np.ones(len(columns), bool))
        if not len(examples):
            raise DataError("L227", tr("no row can be evaluated"), where=str(target), fix=tr("give rows with a target"))
        warn_of_training_rows(examples, self.fingerprint)
        marks = marks_of(self.task, self.net, examples)
        names = tuple(metrics) or usable(self.task.metrics, marks)
        for name in names:
            find(name)
        return scored(names, marks, level=level, draws=draws)  # type: ignore[return-value]

    def attention(self, rows: Rows) -> list[Attention]:
        """For each row its tokens and what each attends to, layer by layer, head by head. Raises DataError L201, L226, BundleError L445.

        >>> model.attention([{"review": "房间很干净"}])[0].draw()  # doctest: +SKIP
        '<svg …'
        """
        table = as_table(rows)
        self.check_columns(table, getattr(self.task, "optional", ()))
        return attention_of(self.task, self.net, table.drop(self.signature.get("target") or "", strict=False))

    def check_columns(self, table: pl.DataFrame, optional: tuple[str, ...] = ()) -> None:
        """Raises DataError L201 for a missing column, but for those that answers can do without, L226 where there is no row."""
        if not len(table):
            raise DataError("L226", tr("there are no rows"), where=tr("the rows to answer"))
        for column in self.signature["inputs"]:
            if column not in table.columns and (column not in optional or not {*optional} & {*table.columns}):
                raise DataError("L201", tr("no such column"), where=tr("the rows to answer"), received=column, allowed=table.columns)


def as_table(rows: Rows) -> pl.DataFrame:
    """Rows as a table."""
    if isinstance(rows, pl.DataFrame):
        return rows
    listed = [dict(row) for row in rows]
    return pl.DataFrame(listed, infer_schema_length=None, strict=False)


def load(bundle: str | Path) -> Model:
    """Open a bundle: check every file, build the net from the description, fill in weights, answer the golden rows.

    Raises BundleError L401 … L413. Nothing in a bundle can run: JSON and safetensors are all that is read.
    """
    folder = Path(bundle)
    if (folder / "bundle" / MANIFEST).is_file() and not (folder / MANIFEST).is_file():
        folder = folder / "bundle"
    return Model(*open_bundle(folder))
