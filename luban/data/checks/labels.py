"""The target and the splits: how labels are spread, which are never taught, which splits are empty."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from luban.data.checks.finding import TEST, Finding, Subject, ok, shown
from luban.data.source import SPLITS
from luban.messages import said

RARE = 0.01


def empty_splits(subject: Subject) -> Iterator[Finding]:
    """Splits without rows."""
    counts = np.bincount(subject.splits.astype(np.int64), minlength=3)
    if not counts[0]:
        yield Finding("L242", "error", said("splits"), said("no training row"), said("name a file for train, or let Luban divide the rows"))
    for split in (1, TEST):
        if not counts[split]:
            yield Finding(
                "W253",
                "warning",
                said("splits"),
                said("no row in {split}", split=SPLITS[split]),
                said("more rows are needed to measure the model"),
            )
    if counts.all():
        yield ok(
            said("splits"),
            said(
                "train {train}, validation {validation}, test {test} rows",
                train=f"{counts[0]:,}",
                validation=f"{counts[1]:,}",
                test=f"{counts[2]:,}",
            ),
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
            said("classes"),
            said("one class only: {name}", name=repr(counts[names][0])[:40]),
            said("there is nothing to tell apart; check the target"),
            target,
        )
        return
    lone = counts.filter(pl.col("rows") < 2)[names]
    if len(lone):
        detail = said("{count} classes have one row: {names}", count=len(lone), names=shown(lone))
        yield Finding("W246", "warning", said("classes"), detail, said("join them to others, or find more rows"), target)
    share = int(rows[-1]) / len(known)
    if share < RARE and counts.height <= 100:
        detail = said("the smallest class, {name}, has {share} of the rows", name=repr(counts[names][-1])[:40], share=f"{share:.2%}")
        yield Finding("W247", "warning", said("balance"), detail, said("read macro-F1 beside accuracy"), target)
    else:
        yield ok(
            said("balance"),
            said(
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
            detail = said(
                "{count} rows of {split} have a label that no training row has: {names}",
                count=len(strange),
                split=SPLITS[split],
                names=shown(strange.unique().sort()),
            )
            yield Finding("W248", "warning", said("labels"), detail, said("they can't be answered right; move some rows to train"), target)
