"""Each column by itself: what is missing, constant, not finite, an id, or of too many categories."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from luban.data.checks.finding import Finding, Subject, columns, ok
from luban.data.inference import ID_NAME
from luban.messages import said

MOST_CATEGORIES = 10_000
MANY_MISSING = 0.5
NAMING = 0.99  # of the known values, the share that differs from all others in an id


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
                said("missing"),
                said("every value is missing"),
                said("leave the column out, or check how it is written in the file"),
                name,
            )
        elif name == subject.target and count:
            yield Finding(
                "W241",
                "warning",
                said("missing"),
                said("{count} rows have no target and teach nothing", count=count),
                said("fill it in, or leave the rows out"),
                name,
            )
        elif count > MANY_MISSING * size:
            yield Finding(
                "W241",
                "warning",
                said("missing"),
                said("{share} of the values are missing", share=f"{count / size:.0%}"),
                said("leave the column out unless being missing means something"),
                name,
            )
    if not any(counts.values()):
        yield ok(said("missing"), said("no value is missing"))
    elif shown := [f"{name} {count / size:.1%}" for name, count in counts.items() if 0 < count <= MANY_MISSING * size]:
        yield ok(said("missing"), said("missing values: {columns}", columns=", ".join(shown)))


def constant_columns(subject: Subject) -> Iterator[Finding]:
    """Inputs that say nothing."""
    for name in subject.inputs:
        keys = subject.key_of(name)
        if not subject.table[name].null_count() and subject.table.height > 1 and keys.n_unique() == 1:
            yield Finding("W242", "warning", said("constant"), said("the same value in every row"), said("leave the column out"), name)


def ids(subject: Subject) -> Iterator[Finding]:
    """Inputs that name the row instead of describing it."""
    for name, kind in subject.inputs.items():
        series = subject.table[name]
        known = series.is_not_null()
        rows = int(known.sum())
        if rows < 8 or kind not in ("number", "category") or not (series.dtype.is_integer() or series.dtype == pl.String):
            continue
        distinct = subject.key_of(name).filter(known).n_unique()
        if distinct < NAMING * rows:
            continue
        counting = series.dtype.is_integer() and distinct == rows == int(series.max()) - int(series.min()) + 1  # pyright: ignore[reportArgumentType]
        if counting or ID_NAME.search(name) or series.dtype == pl.String:
            detail = said("{distinct} different values in {rows} rows: an id, not a property", distinct=f"{distinct:,}", rows=f"{rows:,}")
            yield Finding("W243", "warning", said("id"), detail, said("leave the column out"), name)


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
            detail = said("{nan} values are NaN and {infinite} infinite; they are read as missing", nan=nan, infinite=infinite)
            yield Finding("W244", "warning", said("numbers"), detail, said("find out how they came about"), name)
    if clean and any(subject.table[name].dtype.is_float() for name in columns(subject)):
        yield ok(said("numbers"), said("all numbers are finite"))


def categories(subject: Subject) -> Iterator[Finding]:
    """Columns of very many categories."""
    for name, kind in subject.inputs.items():
        if kind == "category" and (count := subject.key_of(name).n_unique()) > MOST_CATEGORIES:
            detail = said("{count} different categories", count=f"{count:,}")
            yield Finding(
                "W245",
                "warning",
                said("categories"),
                detail,
                said("is it text or an id? name the kind under [inputs], or leave it out; rare ones share one code"),
                name,
            )
    labels = subject.labels
    if labels is not None and (count := labels.n_unique()) > MOST_CATEGORIES:
        yield Finding(
            "W245",
            "warning",
            said("categories"),
            said("{count} different categories", count=f"{count:,}"),
            said("is the target a number? then the task is regression"),
            str(subject.target),
        )
