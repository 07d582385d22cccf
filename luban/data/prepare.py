"""From a recipe to a fitted task and its examples: read, infer, split, check, fit on the training rows, encode, store.

What was prepared is kept beside the runs, keyed by data, recipe and code; a second run starts at once.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban import memory
from luban.capabilities import Describes
from luban.columns import Columns
from luban.data import store
from luban.data.checks import Finding, checks
from luban.data.completing import columns_of, divided_as, open_source, own_columns, splitting_of, target_of, used_columns
from luban.data.memo import digest, recipe_key, remember, remembered
from luban.data.source import Source
from luban.data.splits import NAMES, TRAIN, divide
from luban.errors import DataError, logger, say, warn
from luban.files import flush, put, sweep
from luban.messages import tr
from luban.recipe import Recipe
from luban.task import arrange

if TYPE_CHECKING:
    from luban.data.streaming import Streamed

SAID_BY_TASK = ("W248",)
MOST_WARNINGS = 1000
CONTENT = 0.25  # of the room, for the prepared arrays; more is mapped from the disk
ROW = "\x00row"  # no column of a user has this name


@dataclass(frozen=True)
class Prepared:
    """All that training and evaluation need."""

    recipe: Recipe  # completed: inputs inferred
    task: Any  # fitted
    examples: dict[str, Columns]  # train, validation, test
    raw: pl.LazyFrame  # the rows of validation and test as the user has them, and their place as ROW
    facts: dict[str, Any]  # JSON: hash, rows, splits, rejects, findings, class_counts


def prepare(recipe: Recipe, folder: Path, check: Callable[[], None] = lambda: None) -> Prepared:
    """Open what was prepared before, or prepare it; `check` may raise between blocks. Raises DataError L2xx."""
    from luban.data import streaming

    memo, asked = folder / f"{recipe_key(recipe)}.json", recipe.training.memory
    room, allowed = memory.room(asked), memory.allowance(asked)
    if (key := remembered(memo, allowed)) and store.is_whole(folder / key):
        say(tr("data: as prepared before"))
        return reopen(recipe, folder / key, room)
    with Heard() as heard:
        if streaming.bytes_in_memory(recipe) > room:
            made = streaming.prepare(recipe, folder, room, check, heard.warnings)
            return reopen(recipe, take_over(recipe, made, memo, allowed), room, again=False)
        source, recipe = open_source(recipe)
        if streaming.bytes_of_pictures(recipe, source) > CONTENT * room:
            made = streaming.prepare_pictures(recipe, source, folder, room, check, heard.warnings)
            return reopen(recipe, take_over(recipe, made, memo, allowed), room, again=False)
        key = digest(source.content_hash(), recipe_key(recipe))
        prepared = build(recipe, source)
    prepared.facts["warnings"] = heard.warnings
    keep(prepared, source, folder, key, memo)
    return prepared


class Heard(logging.Handler):
    """Warnings sent while it listens: opened again, the prepared data repeats them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[dict[str, str]] = []

    def __enter__(self) -> Heard:
        logger.addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a named warning, once."""
        facts = getattr(record, "luban", None)
        if facts and facts not in self.warnings and len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(facts)


def build(recipe: Recipe, source: Source, parts: np.ndarray | None = None) -> Prepared:
    """Split, check, fit, encode. `parts` overrides the recipe's split, for folds."""
    fold = parts is not None
    task = recipe.make_task()
    if parts is None:
        parts = parts_of(recipe, source.table, source.splits)
    kinds = {column: section["kind"] for column, section in recipe.inputs.items() if column in source.table.columns}
    looked = {"by": divided_by(recipe, source), "own": columns_of(recipe)}
    asks = examined(recipe, source.table)
    findings = (
        [] if fold else checks(source.table.filter(pl.Series(asks)), kinds, target_of(recipe), parts[asks], recipe.task["kind"], **looked)
    )
    for finding in findings:
        if not is_known(finding, recipe):
            finding.emit()
    table = source.table.select(used_columns(recipe, source.table))
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table.filter(pl.Series(parts == TRAIN))))))
    rows = task.encode(table)
    check_rejects(rows, source, recipe)
    for cut in [] if fold else cut_short(rows, task.state):
        cut.emit()
    examples = {name: select(task, rows, parts, part) for part, name in enumerate(NAMES)}
    if not len(examples["train"]):
        raise DataError(
            "L220", tr("no rows are left for training"), where="split", received=len(table), fix=tr("give more rows or smaller shares")
        )
    raw = table.with_row_index(ROW).filter(pl.Series(parts != TRAIN)).lazy()
    return Prepared(recipe, task, examples, raw, facts_of(recipe, source, table, rows, examples, findings))


def parts_of(recipe: Recipe, table: pl.DataFrame, given: np.ndarray | None) -> np.ndarray:
    """(N,) the split of each row; rows that happened to nobody, but say what something is, are known from the start."""
    task, split = recipe.make_task(), splitting_of(recipe)
    about = task.described(table) if isinstance(task, Describes) else np.zeros(len(table), bool)
    settings = {"target": target_of(recipe), "seed": recipe.training.seed}
    if not about.any():
        return divide(table, split, **settings, given=given)
    parts = np.full(len(table), TRAIN, np.int8)
    if about.all():
        return parts
    parts[~about] = divide(table.filter(pl.Series(~about)), split, **settings, given=None if given is None else given[~about])
    return parts


def examined(recipe: Recipe, table: pl.DataFrame) -> np.ndarray:
    """(N,) rows whose inputs and targets are looked at: not those that only say what something is, unless their columns are the task's own."""
    task = recipe.make_task()
    apart = isinstance(task, Describes) and not own_columns(recipe)
    about = task.described(table) if apart else np.zeros(len(table), bool)
    return np.ones(len(table), bool) if about.all() else ~about


def divided_by(recipe: Recipe, source: Source) -> str:
    """How the rows are divided: as split.by has it, or "given" by the data itself."""
    return "given" if source.splits is not None else str(splitting_of(recipe).by)


def is_known(finding: Finding, recipe: Recipe) -> bool:
    """Whether the task says it itself, or the recipe asks for it."""
    by_task = finding.code in SAID_BY_TASK or (finding.code, finding.where) == ("W241", target_of(recipe))
    return by_task or (finding.code == "W253" and 0.0 in (recipe.split.validation, recipe.split.test))


def cut_short(rows: Columns, state: Any) -> list[Finding]:
    """Texts and series of which a part is left out, because they are longer than `max_length`."""
    return too_long({column: count / max(1, len(rows)) for column, count in reaching(rows, state).items()}, state)


def reaching(rows: Columns, state: Any) -> dict[str, int]:
    """How many values of each column are as long as its `max_length`."""
    limits = {column: spec["max_length"] for column, spec in (state or {}).get("inputs", {}).items() if "max_length" in spec}
    return {column: int((rows[column].lengths >= most).sum()) for column, most in limits.items() if column in rows}


def too_long(shares: dict[str, float], state: Any) -> list[Finding]:
    """A finding for each column of which more than a hundredth is cut off."""
    found = []
    for column, share in shares.items():
        if share > 0.01:
            most, fix = state["inputs"][column]["max_length"], tr("raise max_length under [inputs] if the end matters")
            detail = tr("{share:.0%} of the rows reach {most} tokens or steps; what follows is cut off", share=share, most=most)
            found.append(Finding("W211", "warning", tr("length"), detail, fix, column))
    return found


def select(task: Any, rows: Columns, parts: np.ndarray, part: int) -> Columns:
    """Examples of one split; earlier splits are context where the task looks back."""
    of_row = parts[rows.row]
    kept = np.flatnonzero(of_row <= part if task.split.context else of_row == part)
    return arrange(task, rows.take(kept), of_row[kept] == part)


def check_rejects(rows: Columns, source: Source, recipe: Recipe) -> None:
    """Rows that could not be encoded: a warning, or an error where they are too many. Raises DataError L215."""
    if not rows.rejects:
        return
    first = rows.rejects[0]
    file, line = source.origin.of(first.row)
    where = f"{Path(file).name}:{line}: {first.column}"
    share = len(rows.rejects) / len(source.table)
    what = tr(
        "{count} records ({share}) can't be read; the first: {reason}", count=len(rows.rejects), share=f"{share:.2%}", reason=first.reason
    )
    if share > recipe.reading.reject_limit:
        fix = tr("repair them, or raise reject_limit (now {limit}) under [reading]", limit=recipe.reading.reject_limit)
        raise DataError("L215", what, where=where, fix=fix)
    warn("W205", what, where=where, fix=tr("they are left out; `luban check` lists them"))


def facts_of(
    recipe: Recipe, source: Source, table: pl.DataFrame, rows: Columns, examples: dict[str, Columns], findings: list[Finding]
) -> dict[str, Any]:
    """What the report says of the data."""
    rejects = all_rejects(rows, source)
    target = target_of(recipe)
    counts = None
    if target in table.columns and recipe.task["kind"] == "classification" and not isinstance(table[target].dtype, pl.List):
        found = table[target].drop_nulls().value_counts(sort=True).head(100)
        counts = dict(zip(found[target].cast(pl.String).to_list(), found["count"].to_list(), strict=True))
    return {
        "hash": source.content_hash(),
        "rows": len(source.table),
        "splits": {name: len(columns) for name, columns in examples.items()},
        "rejects": rejects,
        "findings": [asdict(finding) for finding in findings if finding.level != "ok"],
        "class_counts": counts,
        "found": source.found,
        "divided": source.splits is not None,
        "warnings": [],
    }


def all_rejects(rows: Columns, source: Source) -> list[dict[str, Any]]:
    """Records left out by the reader, and rows left out by a kind, with file, line, column, reason."""
    rejects = [asdict(reject) for reject in source.rejects]
    for reject in rows.rejects:
        file, line = source.origin.of(reject.row)
        rejects.append(
            {"file": file, "line": line, "column": reject.column, "reason": reject.reason, "received": reject.received, "record": True}
        )
    return rejects


def take_over(recipe: Recipe, made: Streamed, memo: Path, allowed: int) -> Path:
    """Put a store filled elsewhere in its place, and remember the files it came from; one fitted on a sample, for this allowance alone."""
    sampled = [str(allowed)] if "sample" in made.kept["facts"] else []
    kept = made.kept
    recipe = replace(recipe, inputs=kept["inputs"], target=kept["target"], split=replace(recipe.split, **kept["split"]))
    key = digest(made.source.content_hash(), recipe_key(recipe), *sampled)
    for path in made.place.iterdir():
        flush(path)
    with waiting(memo.parent):
        put(made.place, memo.parent / key)
        remember(memo, key, made.source, allowed if sampled else None)
    return memo.parent / key


def keep(prepared: Prepared, source: Source, folder: Path, key: str, memo: Path) -> None:
    """Write the store, and remember the files it came from."""
    found = prepared.recipe
    facts = {
        "facts": prepared.facts,
        "state": prepared.task.state,
        "inputs": found.inputs,
        "target": found.target,
        "split": divided_as(found),
    }
    with waiting(folder):
        store.write(folder / key, prepared.examples, facts, prepared.raw.collect())
        remember(memo, key, source, None)


@contextmanager
def waiting(folder: Path) -> Iterator[None]:
    """One process at a time writes here; the others wait, and what a kill left of a store is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep(folder)
        yield


def reopen(recipe: Recipe, folder: Path, room: int, *, again: bool = True) -> Prepared:
    """What was stored; where it was prepared before, its warnings are said again."""
    examples, kept = store.read(folder, int(room * CONTENT))
    recipe = replace(recipe, inputs=kept["inputs"], target=kept["target"], split=replace(recipe.split, **kept["split"]))
    task = recipe.make_task()
    for known in kept["facts"]["warnings"] if again else ():
        warn(known["code"], known["what"], where=known["where"], fix=known["fix"])
    raw = pl.scan_parquet(sorted(folder.glob("raw*.parquet")))
    return Prepared(recipe, type(task)(task.config, kept["state"]), examples, raw, kept["facts"])
