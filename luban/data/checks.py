"""Quality of the data before anything is learnt: what is missing, constant, doubled, leaking, one-sided.

`luban check` lists every finding; training warns of warnings and stops at errors. Rows are compared by 64-bit hashes: 8 bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from luban.data.inference import ID_NAME
from luban.data.media import medium_of_column
from luban.data.source import SPLITS, file_hash
from luban.errors import DataError, warn
from luban.messages import tr

MOST_CATEGORIES = 10_000
MOST_FILES_HASHED = 200_000
MANY_MISSING = 0.5
RARE = 0.01
ALIKE = 0.9999  # correlation from which an input is the target over again
TEST = 2


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do about it."""

    code: str  # L2xx, W2xx, or "" when all is well
    level: Literal["ok", "warning", "error"]
    name: str  # of the check
    detail: str
    fix: str = ""
    where: str = ""  # the column

    def emit(self) -> None:
        """An error is raised, a warning logged. Raises DataError."""
        if self.level == "error":
            raise DataError(self.code, self.detail, where=self.where, fix=self.fix)
        if self.level == "warning":
            warn(self.code, self.detail, where=self.where, fix=self.fix)


@dataclass(frozen=True)
class Subject:
    """What is checked."""

    table: pl.DataFrame
    inputs: dict[str, str]  # column -> kind
    target: str | None
    splits: np.ndarray  # (N,) 0 train, 1 validation, 2 test
    task: str
    hashes: dict[str, pl.Series] = field(default_factory=dict)

    @property
    def labels(self) -> pl.Series | None:
        """The target as classes, or None where it has none."""
        if self.target is None or self.task != "classification" or self.target not in self.table.columns:
            return None
        labels = self.table[self.target]
        return None if isinstance(labels.dtype, (pl.List, pl.Array)) else labels.cast(pl.String)

    def keys(self) -> pl.Series:
        """(N,) UInt64, equal where all inputs are equal."""
        if "" not in self.hashes:
            self.hashes[""] = pl.DataFrame([self.key_of(name) for name in self.inputs]).hash_rows(seed=0)
        return self.hashes[""]

    def key_of(self, name: str) -> pl.Series:
        """(N,) UInt64 of one input; files are compared by content."""
        if name not in self.hashes:
            series = self.table[name]
            if self.inputs.get(name) in ("image", "audio") and series.dtype == pl.String and medium_of_column(series):
                series = by_content(series)
            self.hashes[name] = series.to_frame().hash_rows(seed=0).alias(name)
        return self.hashes[name]


def checks(table: pl.DataFrame, inputs: dict[str, str], target: str | None, splits: np.ndarray, task: str) -> list[Finding]:
    """Every finding, errors first."""
    subject = Subject(table, inputs, target, np.asarray(splits), task)
    found = [finding for check in CHECKS for finding in check(subject)]
    order = {"error": 0, "warning": 1, "ok": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def missing_values(subject: Subject) -> Iterator[Finding]:
    """Share of missing values per column."""
    size = max(1, subject.table.height)
    counts = {name: subject.table[name].null_count() for name in columns(subject)}
    for name, count in counts.items():
        if count == subject.table.height:
            level = "error" if name == subject.target else "warning"
            code = "L240" if name == subject.target else "W240"
            yield Finding(
                code,
                level,
                "missing",
                tr("every value is missing"),
                tr("leave the column out, or check how it is written in the file"),
                name,
            )
        elif name == subject.target and count:
            yield Finding(
                "W241",
                "warning",
                "missing",
                tr("{count} rows have no target and teach nothing", count=count),
                tr("fill it in, or leave the rows out"),
                name,
            )
        elif count > MANY_MISSING * size:
            yield Finding(
                "W241",
                "warning",
                "missing",
                tr("{share} of the values are missing", share=f"{count / size:.0%}"),
                tr("leave the column out unless being missing means something"),
                name,
            )
    if not any(counts.values()):
        yield ok("missing", tr("no value is missing"))
    elif shown := [f"{name} {count / size:.1%}" for name, count in counts.items() if 0 < count <= MANY_MISSING * size]:
        yield ok("missing", tr("missing values: {columns}", columns=", ".join(shown)))


def constant_columns(subject: Subject) -> Iterator[Finding]:
    """Inputs that say nothing."""
    for name in subject.inputs:
        keys = subject.key_of(name)
        if not subject.table[name].null_count() and subject.table.height > 1 and keys.n_unique() == 1:
            yield Finding("W242", "warning", "constant", tr("the same value in every row"), tr("leave the column out"), name)


def ids(subject: Subject) -> Iterator[Finding]:
    """Inputs that name the row instead of describing it."""
    for name, kind in subject.inputs.items():
        series = subject.table[name]
        if (
            series.null_count()
            or subject.table.height < 8
            or kind not in ("number", "category")
            or not (series.dtype.is_integer() or series.dtype == pl.String)
        ):
            continue
        if subject.key_of(name).n_unique() < len(series):
            continue
        counting = series.dtype.is_integer() and int(series.max()) - int(series.min()) == len(series) - 1  # pyright: ignore[reportArgumentType]
        if counting or ID_NAME.search(name) or series.dtype == pl.String:
            yield Finding(
                "W243", "warning", "id", tr("a different value in every row: an id, not a property"), tr("leave the column out"), name
            )


def infinities(subject: Subject) -> Iterator[Finding]:
    """NaN and infinite numbers."""
    clean = True
    for name in columns(subject):
        series = subject.table[name]
        if not series.dtype.is_float():
            continue
        nan, infinite = int(series.is_nan().sum()), int(series.is_infinite().sum())
        if nan or infinite:
            clean = False
            detail = tr("{nan} values are NaN and {infinite} infinite; they are read as missing", nan=nan, infinite=infinite)
            yield Finding("W244", "warning", "numbers", detail, tr("find out how they came about"), name)
    if clean and any(subject.table[name].dtype.is_float() for name in columns(subject)):
        yield ok("numbers", tr("all numbers are finite"))


def categories(subject: Subject) -> Iterator[Finding]:
    """Columns of very many categories."""
    for name, kind in subject.inputs.items():
        if kind == "category" and (count := subject.key_of(name).n_unique()) > MOST_CATEGORIES:
            detail = tr("{count} different categories", count=f"{count:,}")
            yield Finding(
                "W245",
                "warning",
                "categories",
                detail,
                tr("is it text or an id? name the kind under [inputs], or leave it out; rare ones share one code"),
                name,
            )
    labels = subject.labels
    if labels is not None and (count := labels.n_unique()) > MOST_CATEGORIES:
        yield Finding(
            "W245",
            "warning",
            "categories",
            tr("{count} different categories", count=f"{count:,}"),
            tr("is the target a number? then the task is regression"),
            str(subject.target),
        )


def classes(subject: Subject) -> Iterator[Finding]:
    """How the labels are spread."""
    labels = subject.labels
    if labels is None or labels.null_count() == len(labels):
        return
    target = str(subject.target)
    known = labels.drop_nulls()
    counts = known.value_counts(sort=True, name="rows")
    names, rows = counts.columns[0], counts["rows"]
    if counts.height == 1:
        yield Finding(
            "L241",
            "error",
            "classes",
            tr("one class only: {name}", name=repr(counts[names][0])[:40]),
            tr("there is nothing to tell apart; check the target"),
            target,
        )
        return
    lone = counts.filter(pl.col("rows") < 2)[names]
    if len(lone):
        detail = tr("{count} classes have one row: {names}", count=len(lone), names=shown(lone))
        yield Finding("W246", "warning", "classes", detail, tr("join them to others, or find more rows"), target)
    share = int(rows[-1]) / len(known)
    if share < RARE and counts.height <= 100:
        detail = tr("the smallest class, {name}, has {share} of the rows", name=repr(counts[names][-1])[:40], share=f"{share:.2%}")
        yield Finding("W247", "warning", "balance", detail, tr("read macro-F1 beside accuracy"), target)
    else:
        yield ok(
            "balance",
            tr(
                "{count} classes, the largest {most}, the smallest {least}",
                count=counts.height,
                most=f"{int(rows[0]) / len(known):.1%}",
                least=f"{share:.1%}",
            ),
        )
    yield from unseen(labels, subject.splits, target)


def unseen(labels: pl.Series, splits: np.ndarray, target: str) -> Iterator[Finding]:
    """Labels that no training row has."""
    taught = labels.filter(pl.Series(splits == 0)).drop_nulls().unique()
    for split in (1, TEST):
        here = labels.filter(pl.Series(splits == split)).drop_nulls()
        strange = here.filter(~here.is_in(taught.implode()))
        if len(strange):
            detail = tr(
                "{count} rows of {split} have a label that no training row has: {names}",
                count=len(strange),
                split=SPLITS[split],
                names=shown(strange.unique().sort()),
            )
            yield Finding("W248", "warning", "labels", detail, tr("they can't be answered right; move some rows to train"), target)


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Rows with the same inputs: inside a split, across splits, and with other answers."""
    if not subject.inputs or not subject.table.height:
        return
    keys = subject.keys()
    frame = pl.DataFrame({"key": keys, "split": pl.Series(subject.splits.astype(np.int8))})
    if keys.n_unique() == len(keys):
        yield ok("duplicates", tr("no two rows have the same inputs"))
        return
    train = frame.filter(pl.col("split") == 0)
    again = train.height - train["key"].n_unique()
    if again:
        share = again / max(1, train.height)
        fix = tr("drop them, unless the repetition means something")
        yield Finding(
            "W249", "warning", "duplicates", tr("{count} training rows ({share}) repeat another", count=again, share=f"{share:.1%}"), fix
        )
    yield from leaks(frame)
    yield from conflicts(subject, keys)


def leaks(frame: pl.DataFrame) -> Iterator[Finding]:
    """The same inputs in two splits."""
    clean = True
    for split, earlier in ((1, [0]), (TEST, [0, 1])):
        here = frame.filter(pl.col("split") == split)["key"]
        if not len(here):
            continue
        count = int(here.is_in(frame.filter(pl.col("split").is_in(earlier))["key"].unique().implode()).sum())
        if count:
            clean = False
            detail = tr(
                "{count} rows of {split} ({share}) stand in an earlier split too",
                count=count,
                split=SPLITS[split],
                share=f"{count / len(here):.1%}",
            )
            yield Finding(
                "W250", "warning", "leak", detail, tr("drop the copies, or keep them together with a group; scores are too good otherwise")
            )
    if clean and frame["split"].n_unique() > 1:
        yield ok("leak", tr("no row stands in two splits"))


def conflicts(subject: Subject, keys: pl.Series) -> Iterator[Finding]:
    """The same inputs with different answers."""
    if subject.target is None or subject.target not in subject.table.columns:
        return
    answers = subject.table[subject.target]
    frame = pl.DataFrame({"key": keys, "answer": answers.to_frame().hash_rows(seed=0)}).filter(answers.is_not_null())
    rows = frame.group_by("key").agg(pl.len().alias("rows"), pl.col("answer").n_unique().alias("answers")).filter(pl.col("answers") > 1)
    if rows.height:
        count = int(rows["rows"].sum())
        detail = tr("{count} rows have the same inputs and different targets", count=count)
        yield Finding(
            "W251", "warning", "conflicts", detail, tr("no model can get all of them right; correct them or drop them"), subject.target
        )


def giveaways(subject: Subject) -> Iterator[Finding]:
    """Inputs that hold the target over again."""
    if subject.target is None or subject.target not in subject.table.columns or subject.table.height < 8:
        return
    answers = subject.table[subject.target]
    if isinstance(answers.dtype, (pl.List, pl.Array)) or answers.null_count() == len(answers):
        return
    suspect = [name for name, kind in subject.inputs.items() if kind in ("number", "category", "date") and name != subject.target]
    told = [name for name in suspect if gives_away(subject, name, answers)]
    for name in told:
        detail = tr("it tells the target, {target}, without fail", target=subject.target)
        yield Finding("W252", "warning", "leak", detail, tr("leave the column out if it is not known when the model is asked"), name)
    if suspect and not told:
        yield ok("leak", tr("no input gives the target away"))


def gives_away(subject: Subject, name: str, answers: pl.Series) -> bool:
    """Whether equal inputs always have equal targets, often enough to be no accident; or numbers run in a straight line with it."""
    series = subject.table[name]
    if subject.task == "regression":
        return straight(series, answers)
    known = series.is_not_null() & answers.is_not_null()
    keys, labels = subject.key_of(name).filter(known), answers.filter(known).cast(pl.String)
    if len(keys) < 8 or labels.n_unique() < 2:
        return False
    groups = keys.n_unique()
    if groups > len(keys) / 4 or groups < labels.n_unique():
        return False
    return pl.DataFrame({"key": keys, "label": labels}).n_unique() == groups


def straight(series: pl.Series, answers: pl.Series) -> bool:
    """Whether two columns of numbers correlate by 1."""
    if not series.dtype.is_numeric() or not answers.dtype.is_numeric():
        return False
    pair = np.stack([column.cast(pl.Float64).fill_null(np.nan).to_numpy() for column in (series, answers)])
    pair = pair[:, np.isfinite(pair).all(0)]
    if pair.shape[1] < 8 or (np.ptp(pair, axis=1) == 0).any():
        return False
    pair = pair - pair.mean(1, keepdims=True)
    return bool(abs(pair[0] @ pair[1]) >= ALIKE * np.sqrt((pair[0] @ pair[0]) * (pair[1] @ pair[1])))


def empty_splits(subject: Subject) -> Iterator[Finding]:
    """Splits without rows."""
    counts = np.bincount(subject.splits.astype(np.int64), minlength=3)
    if not counts[0]:
        yield Finding("L242", "error", "splits", tr("no training row"), tr("name a file for train, or let Luban divide the rows"))
    for split in (1, TEST):
        if not counts[split]:
            yield Finding(
                "W253", "warning", "splits", tr("no row in {split}", split=SPLITS[split]), tr("more rows are needed to measure the model")
            )
    if counts.all():
        yield ok(
            "splits",
            tr(
                "train {train}, validation {validation}, test {test} rows",
                train=f"{counts[0]:,}",
                validation=f"{counts[1]:,}",
                test=f"{counts[2]:,}",
            ),
        )


CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    empty_splits, missing_values, constant_columns, ids, infinities, categories, classes, duplicates, giveaways,
)  # fmt: skip


def columns(subject: Subject) -> list[str]:
    """Inputs and target."""
    target = [subject.target] if subject.target and subject.target in subject.table.columns and subject.target not in subject.inputs else []
    return [*subject.inputs, *target]


def ok(name: str, detail: str) -> Finding:
    """All is well."""
    return Finding("", "ok", name, detail)


def shown(names: pl.Series) -> str:
    """A few names."""
    return ", ".join(repr(name)[:30] for name in names.head(5).to_list()) + (", …" if len(names) > 5 else "")


def by_content(paths: pl.Series) -> pl.Series:
    """Paths, replaced by the hash of the content where another file has the same size; the others can't be equal."""
    cells = paths.to_list()
    sizes: dict[int, set[str]] = {}
    for cell in set(cells) - {None}:
        path = Path(cell)
        if path.is_file():
            sizes.setdefault(path.stat().st_size, set()).add(cell)
    alike = [cell for same in sizes.values() if len(same) > 1 for cell in same]
    if len(alike) > MOST_FILES_HASHED:
        return paths
    content = {cell: file_hash(Path(cell)) for cell in alike}
    return pl.Series(paths.name, [content.get(cell, cell) if cell is not None else None for cell in cells], dtype=pl.String)
