"""One look at recipe and data: read, divide, check, encode; nothing is trained but what judges the labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from luban.capabilities import Reads
from luban.columns import Columns
from luban.data.accounting import rows_without_target
from luban.data.checks import Finding, Subject, by_weight, examine
from luban.data.checks.finding import ok
from luban.data.completing import columns_of, open_source, target_of, used_columns
from luban.data.prepare import all_rejects, cut_short, divided_by, examined, parts_of
from luban.data.source import BadRow, Source
from luban.data.splits import TRAIN
from luban.errors import DataError
from luban.inspection.suspects import Suspects
from luban.inspection.suspects import suspects as find_suspects
from luban.messages import said
from luban.recipe import Recipe

MANY_SUSPECTS = 0.02  # of the judged rows
MOST_ENCODED = 20_000  # rows of a table that is encoded in whole
SAMPLE = 5_000  # rows of a larger one, to see what is cut short
FAULTLESS = ("text", "category")  # kinds that read whatever stands in a cell


@dataclass(frozen=True)
class CheckUp:
    """All that was found."""

    recipe: Recipe  # completed
    source: Source
    subject: Subject
    findings: list[Finding]
    rejects: list[dict[str, Any]]
    usable: int  # rows that were read, encoded and have a target
    suspects: Suspects | None


def check_up(recipe: Recipe, *, suspects: bool) -> CheckUp:
    """Look at everything; `suspects`: at the labels too, by a small model. Raises DataError L2xx where nothing can be looked at."""
    source, recipe = open_source(recipe)
    target = target_of(recipe)
    parts = parts_of(recipe, source.table, source.splits)
    kinds = {column: section["kind"] for column, section in recipe.inputs.items() if column in source.table.columns}
    asks = examined(recipe, source.table)
    table = source.table.filter(pl.Series(asks))
    subject = Subject(table, kinds, target, parts[asks], recipe.task["kind"], divided_by(recipe, source), columns_of(recipe))
    findings, rejects, usable = examine(subject), [asdict(reject) for reject in source.rejects], 0
    if any(finding.level == "error" for finding in findings):
        return CheckUp(recipe, source, subject, findings, rejects, usable, None)
    rows, cut = encoded(recipe, source.table.select(used_columns(recipe, source.table)), parts)
    without, listed = rows_without_target(rows, source, target, asks)
    listed += [asdict(BadRow(*source.origin.of(odd.row), odd.column, odd.reason, record=False)) for odd in subject.found.get("pairs", [])]
    found = find_suspects(recipe, subject) if suspects else None
    findings = by_weight([*findings, *cut, *([doubt(found, str(target))] if found else [])])
    return CheckUp(recipe, source, subject, findings, all_rejects(rows, source) + listed, len(rows) - without, found)


def encoded(recipe: Recipe, table: pl.DataFrame, parts: np.ndarray) -> tuple[Columns, list[Finding]]:
    """Every row encoded, and what is cut short; of a large table, texts and names by a sample: nothing in them can be at fault."""
    task = recipe.make_task()
    if table.height <= MOST_ENCODED or not hasattr(task.config, "inputs") or isinstance(task, Reads):
        task = fitted(task, table, parts)
        rows = task.encode(table)
        return rows, cut_short(rows, task.state)
    faulty = {column: section for column, section in recipe.inputs.items() if section["kind"] not in FAULTLESS}
    rows = fitted(type(task)(replace(task.config, inputs=faulty)), table, parts).encode(table)
    step = -(-table.height // SAMPLE)
    some = table.gather_every(step)
    try:
        task = fitted(task, some, parts[::step])
    except DataError:  # the sample lacks a label or a text that the table has
        return rows, []
    return rows, cut_short(task.encode(some), task.state)


def fitted(task: Any, table: pl.DataFrame, parts: np.ndarray) -> Any:
    """The task, fitted on the training rows."""
    return type(task)(task.config, task.fit(table.filter(pl.Series(parts == TRAIN))))


def doubt(found: Suspects, target: str) -> Finding:
    """What the suspect labels say together."""
    share = len(found.rows) / max(1, found.looked_at)
    counted = {"count": f"{len(found.rows):,}", "rows": f"{found.looked_at:,}", "share": f"{share:.1%}"}
    if share <= MANY_SUSPECTS:
        return ok(said("label errors"), said("{count} of {rows} labels look wrong ({share})", **counted))
    detail = said("{count} of {rows} labels look wrong ({share})", **counted)
    return Finding(
        "W260",
        "warning",
        said("label errors"),
        detail,
        said("read the surest of them in the data report; a hard row looks the same"),
        target,
    )
