"""An opened bundle: predict and evaluate, from the bundle alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from luban.bundle import occlusion
from luban.bundle.attention import Attention, attention_of
from luban.bundle.fingerprint import warn_of_training_rows
from luban.bundle.format import MANIFEST
from luban.bundle.read import open_bundle
from luban.capabilities import Asks, spared
from luban.columns import Columns, Reject
from luban.data.reading import Reading
from luban.errors import DataError, RecipeError, say, warn
from luban.evaluation.ladder import scored, usable
from luban.evaluation.metrics import find
from luban.messages import tr
from luban.predicting import answers_of, marks_of
from luban.schema import validate
from luban.task import arrange, traits_of

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
        return replace(self.reading, **traits_of(self.task).asking)

    def predict(self, rows: Rows, **settings: Any) -> list[dict[str, Any]]:
        """One answer a row, in order; a row that cannot be read is answered with None and `error`. Raises DataError L201, L226, RecipeError L104.

        `settings` are those of the task that may change with each question, such as a recommender's `k`.

        >>> model.predict([{"review": "房间很干净"}])  # doctest: +SKIP
        [{'label': 'positive', 'confidence': 0.98, 'chances': {'negative': 0.02, 'positive': 0.98}}]
        """
        return self.answers(as_table(rows), **settings).to_dicts()

    def answers(self, table: pl.DataFrame, **settings: Any) -> pl.DataFrame:
        """The answers as a table, one row a row of the table where a row is an example."""
        self.check_columns(table, spared(self.task))
        table = table.drop(self.signature.get("target") or "", strict=False)  # what is asked for can't be at fault
        answers, rejects, kept = answers_of(self.asked(settings), self.net, table)
        if self.signature.get("columns"):
            return self.named(answers, table, rejects, kept)
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

    def read_on(self, reader: Model, rows: Rows, **settings: Any) -> list[dict[str, Any]]:
        """Answers from documents, read on by another bundle: `read` says whether an answer is a span, generated, or the passage.

        Raises RecipeError L198 for bundles that do not go together, and as `predict`.

        >>> documents.read_on(luban.load("runs/squad/bundle"), [{"question": "谁造了锯？"}])  # doctest: +SKIP
        [{'answer': '鲁班', 'document': 'saw.md', …, 'read': 'span'}]
        """
        from luban.bundle.reading_on import read_on

        return read_on(self, reader, as_table(rows), **settings).to_dicts()

    def asked(self, settings: dict[str, Any]) -> Any:
        """The task, some of its settings changed for one question. Raises RecipeError L104, L105."""
        may = traits_of(self.task).of_answers
        for name in settings:
            if name not in may:
                raise RecipeError("L104", tr("not a setting of an answer"), where=tr("the question"), received=name, allowed=may)
        if not settings:
            return self.task
        values = {
            key: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for key, value in vars(self.task.config).items()
            if value is not None
        }
        for key, value in settings.items():
            values[key] = values[key] | value if isinstance(value, dict) and isinstance(values.get(key), dict) else value
        return type(self.task)(validate(type(self.task.config), values, where=tr("the question")), self.task.state)

    def named(self, answers: pl.DataFrame, table: pl.DataFrame, rejects: tuple[Reject, ...], kept: np.ndarray) -> pl.DataFrame:
        """Answers of a task whose rows are not its examples: beside each what it is for; rows that can't be read are said."""
        if rejects:
            first = rejects[0]
            what = tr("{n} rows can't be read; the first: {reason}", n=len(rejects), reason=first.reason)
            warn("W271", what, where=f"{first.row + 1}: {first.column}")
        if not len(answers):
            raise DataError("L289", tr("no row can be answered"), where=tr("the rows to answer"))
        key = next((column for column in self.signature["columns"].values() if column in table.columns), None)
        if key is None or table[key].dtype.is_nested():
            return answers
        return pl.concat([table.select(key)[kept.tolist()], answers], how="horizontal")

    def evaluate(
        self, rows: Rows, *, metrics: tuple[str, ...] = (), level: float = 0.95, draws: int = 1000
    ) -> dict[str, dict[str, float | None]]:
        """Each metric with its interval, on rows that hold the target. Raises DataError L201, L227."""
        marks = self.marks(as_table(rows))
        names = tuple(metrics) or usable(self.task.metrics, marks)
        for name in names:
            find(name)
        return scored(names, marks, level=level, draws=draws)  # type: ignore[return-value]

    def marks(self, table: pl.DataFrame) -> Columns:
        """What metrics need of each row, whose target the table holds. Raises DataError L201, L227."""
        target = self.signature.get("target")
        self.check_columns(table)
        if target and target not in table.columns:
            raise DataError("L201", tr("no such column"), where=tr("the target"), received=target, allowed=table.columns)
        columns = self.task.encode(table)
        if columns.rejects:
            first = columns.rejects[0]
            what = tr("{n} rows can't be read and are not scored; the first: {reason}", n=len(columns.rejects), reason=first.reason)
            warn("W232", what, where=first.column)
        every = np.ones(len(columns), bool)
        asked: Any = self.task
        examples = asked.questions(columns) if isinstance(asked, Asks) else arrange(asked, columns, every)
        if not len(examples):
            raise DataError("L227", tr("no row can be evaluated"), where=str(target), fix=tr("give rows with a target"))
        warn_of_training_rows(examples, self.fingerprint)
        return marks_of(self.task, self.net, examples)

    def faster(self, *, streams: int = 8, int8: bool = False, rows: Rows | None = None) -> Model:
        """For language models: the same with its layers in the forms that are measured to be fastest here; what it costs in score is said.

        `streams` prompts are expected at a time; `rows` hold the target, or text, to score on. Raises DataError L201, L227, RecipeError L194.
        """
        if not hasattr(self.net, "cache") or not list(self.net.parameters()):
            what, fix = tr("only a language model that is a network says token by token"), tr("leave it as it is")
            raise RecipeError("L194", what, where=type(self.task).__name__, fix=fix)
        from luban.generating.faster import faster

        net, tried = faster(self.net, streams, int8=int8)
        made = Model(self.description, self.task, net, self.report, self.fingerprint)
        forms = {form: sum(one.form == form for one in tried) for form in ("plain", "blocked", "int8")}
        counts = ", ".join(f"{count} {form}" for form, count in forms.items() if count)
        say(tr("layers by the form that is fastest here: {counts}", counts=counts))
        if rows is not None:
            table = as_table(rows)
            for name, before in self.evaluate(table).items():
                after = made.evaluate(table, metrics=(name,))[name]
                values = {"before": f"{before['value']:.4f}", "after": f"{after['value']:.4f}"}
                say(tr("{name}: {before} before, {after} after", name=name, **values))
        return made

    def attention(self, rows: Rows) -> list[Attention]:
        """For each row its tokens and what each attends to, layer by layer, head by head. Raises DataError L201, L226, BundleError L445.

        >>> model.attention([{"review": "房间很干净"}])[0].draw()  # doctest: +SKIP
        '<svg …'
        """
        table = as_table(rows)
        self.check_columns(table, spared(self.task))
        return attention_of(self.task, self.net, table.drop(self.signature.get("target") or "", strict=False))

    def explain(self, rows: Rows, *, label: str = "") -> list[dict[str, Any]]:
        """For each row what the answer, or the chance of `label`, hangs on: columns, and parts of texts, pictures, series and sets.

        `effect` is what is said of the row less what is said of it without the part. Raises DataError L201, L226, L282, L283.

        >>> model.explain([{"review": "房间很干净"}])[0]["parts"]["review"][0]  # doctest: +SKIP
        {'text': '房', 'start': 0, 'end': 1, 'effect': 0.01, 'log_odds': 0.07}
        """
        table = as_table(rows)
        self.check_columns(table, spared(self.task))
        return occlusion.explain(self.task, self.net, table.drop(self.signature.get("target") or "", strict=False), label)

    def check_columns(self, table: pl.DataFrame, optional: tuple[str, ...] = ()) -> None:
        """Raises DataError L201 for a missing column, but for those that answers can do without, L226 where there is no row."""
        if not len(table):
            raise DataError("L226", tr("there are no rows"), where=tr("the rows to answer"))
        for column in () if self.signature.get("columns") else self.signature["inputs"]:  # there they describe no row
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
