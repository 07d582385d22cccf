"""An opened bundle: predict and evaluate, from the bundle alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import safe_open
from torch import nn

from luban import recipe as recipes
from luban.bundle import format as layout
from luban.bundle import golden
from luban.data.reading import Reading
from luban.errors import BundleError, DataError, warn
from luban.evaluation.ladder import scored, usable
from luban.evaluation.metrics import find
from luban.messages import tr
from luban.predicting import answers_of, marks_of
from luban.schema import validate
from luban.task import arrange

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
Rows = pl.DataFrame | Iterable[Mapping[str, Any]]


class Model:
    """A task with its net, read from a bundle."""

    def __init__(self, description: dict[str, Any], task: Any, net: nn.Module, report: dict[str, Any]) -> None:
        self.description, self.task, self.net, self.report = description, task, net, report

    @property
    def signature(self) -> dict[str, Any]:
        """Columns it reads and their kinds, and the target."""
        return self.description["signature"]

    @property
    def reading(self) -> Reading:
        """How files of its kind are read, as the recipe had it."""
        return validate(Reading, self.description["recipe"].get("reading", {}), where="bundle: reading")

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """One answer a row, in order; a row that cannot be read is answered with None and `error`. Raises DataError L201, L226.

        >>> model.predict([{"review": "房间很干净"}])  # doctest: +SKIP
        [{'label': 'positive', 'confidence': 0.98, 'chances': {'negative': 0.02, 'positive': 0.98}}]
        """
        return self.answers(as_table(rows)).to_dicts()

    def answers(self, table: pl.DataFrame) -> pl.DataFrame:
        """The answers as a table, one row a row of the table where a row is an example."""
        self.check_columns(table)
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
        marks = marks_of(self.task, self.net, examples)
        names = tuple(metrics) or usable(self.task.metrics, marks)
        for name in names:
            find(name)
        return scored(names, marks, level=level, draws=draws)  # type: ignore[return-value]

    def check_columns(self, table: pl.DataFrame) -> None:
        """Raises DataError L201 for a missing column, L226 where there is no row."""
        if not len(table):
            raise DataError("L226", tr("there are no rows"), where=tr("the rows to answer"))
        for column in self.signature["inputs"]:
            if column not in table.columns:
                raise DataError("L201", tr("no such column"), where=tr("the rows to answer"), received=column, allowed=table.columns)


def as_table(rows: Rows) -> pl.DataFrame:
    """Rows as a table."""
    if isinstance(rows, pl.DataFrame):
        return rows
    listed = [dict(row) for row in rows]
    return pl.DataFrame(listed, infer_schema_length=None, strict=False)


def load(bundle: str | Path) -> Model:
    """Open a bundle: check every file, build the net from the description, fill in weights, answer the golden rows.

    Raises BundleError L401 … L407. Nothing in a bundle can run: JSON and safetensors are all that is read.
    """
    folder = Path(bundle)
    if (folder / "bundle" / layout.MANIFEST).is_file() and not (folder / layout.MANIFEST).is_file():
        folder = folder / "bundle"
    layout.check(folder)
    try:
        return assemble(folder)
    except BundleError:
        raise
    except Exception as error:
        raise BundleError("L407", tr("the bundle's parts do not fit together: {why}", why=str(error)[:120]), where=str(folder)) from error


def assemble(folder: Path) -> Model:
    """Task, net and weights of a checked folder. The net is built without memory until its weights were found to fit."""
    description, state = layout.read_json(folder, "luban.json"), layout.read_json(folder, "state.json")
    layout.check_format(description.get("format"), folder)
    recipe = recipes.parse(description["recipe"] | {"data": "none"}, name=str(description["name"]))
    unfitted = recipe.make_task()
    task = type(unfitted)(unfitted.config, state)
    with torch.device("meta"):
        net = task.build()
    net.load_state_dict(read_weights(folder, net), assign=True)
    net.eval()
    golden.check(task, net, layout.read_lines(folder, "golden.jsonl"), str(folder))
    report = layout.read_json(folder, "report.json") if (folder / "report.json").is_file() else {}
    return Model(description, task, net, report)


def read_weights(folder: Path, net: nn.Module) -> dict[str, torch.Tensor]:
    """The weights, which must be the net's in name, shape and type; compared before any is read. Raises BundleError L407."""
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        names = list(file.keys())
        found = {name: (tuple(file.get_slice(name).get_shape()), file.get_slice(name).get_dtype()) for name in names}
        wanted = {name: (tuple(tensor.shape), TYPES.get(tensor.dtype, "")) for name, tensor in net.state_dict().items()}
        if wanted != found:
            wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
            raise BundleError("L407", tr("the weights are not those of this model: {name}", name=wrong[0]), where=str(folder))
        return {name: file.get_tensor(name) for name in names}
