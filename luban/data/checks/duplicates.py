"""Rows with the same inputs: inside a split, across splits, with other answers, and the same but for the way they are written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from luban.data.checks.finding import TEST, Finding, Subject, ok
from luban.data.source import SPLITS
from luban.messages import said

CHANGING = r"[\s\p{P}\p{S}\p{C}]+"  # what two copies of a text may differ in


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Rows with the same inputs: inside a split, across splits, and with other answers."""
    if not subject.inputs or not subject.table.height:
        return
    keys = subject.keys()
    frame = pl.DataFrame({"key": keys, "split": pl.Series(subject.splits.astype(np.int8))})
    if keys.n_unique() == len(keys):
        yield ok(said("duplicates"), said("no two rows have the same inputs"))
        return
    train = frame.filter(pl.col("split") == 0)
    again = train.height - train["key"].n_unique()
    if again:
        share = again / max(1, train.height)
        fix = said("drop them, unless the repetition means something")
        yield Finding(
            "W249",
            "warning",
            said("duplicates"),
            said("{count} training rows ({share}) repeat another", count=again, share=f"{share:.1%}"),
            fix,
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
            detail = said(
                "{count} rows of {split} ({share}) stand in an earlier split too",
                count=count,
                split=SPLITS[split],
                share=f"{count / len(here):.1%}",
            )
            yield Finding(
                "W250",
                "warning",
                said("leak"),
                detail,
                said("drop the copies, or keep them together with a group; scores are too good otherwise"),
            )
    if clean and frame["split"].n_unique() > 1:
        yield ok(said("leak"), said("no row stands in two splits"))


def conflicts(subject: Subject, keys: pl.Series) -> Iterator[Finding]:
    """The same inputs with different answers."""
    if subject.target is None or subject.target not in subject.table.columns:
        return
    answers = subject.table[subject.target]
    frame = pl.DataFrame({"key": keys, "answer": answers.to_frame().hash_rows(seed=0)}).filter(answers.is_not_null())
    rows = frame.group_by("key").agg(pl.len().alias("rows"), pl.col("answer").n_unique().alias("answers")).filter(pl.col("answers") > 1)
    if rows.height:
        count = int(rows["rows"].sum())
        detail = said("{count} rows have the same inputs and different targets", count=count)
        yield Finding(
            "W251",
            "warning",
            said("conflicts"),
            detail,
            said("no model can get all of them right; correct them or drop them"),
            subject.target,
        )


def rewritten(subject: Subject) -> Iterator[Finding]:
    """Rows that stand in an earlier split too, but for case, width, spaces and punctuation of their texts."""
    texts = [name for name, kind in subject.inputs.items() if kind == "text" and subject.table[name].dtype == pl.String]
    if not texts or not subject.table.height:
        return
    parts = [
        plain(subject.table[name]).to_frame().hash_rows(seed=0).alias(name) if name in texts else subject.key_of(name)
        for name in subject.inputs
    ]
    keys = pl.DataFrame(parts).hash_rows(seed=0)
    clean = True
    for split, earlier in ((1, [0]), (TEST, [0, 1])):
        here, there = pl.Series(subject.splits == split), pl.Series(np.isin(subject.splits, earlier))
        alike = keys.filter(here).is_in(keys.filter(there).unique().implode())
        exact = subject.keys().filter(here).is_in(subject.keys().filter(there).unique().implode())
        if count := int((alike & ~exact).sum()):
            clean = False
            detail = said(
                "{count} rows of {split} ({share}) stand in an earlier split too, but for case, spaces and punctuation",
                count=count,
                split=SPLITS[split],
                share=f"{count / len(alike):.1%}",
            )
            yield Finding("W254", "warning", said("leak"), detail, said("drop the copies; scores are too good otherwise"), ", ".join(texts))
    if clean:
        yield ok(said("leak"), said("no row stands in two splits in another spelling"))


def plain(series: pl.Series) -> pl.Series:
    """Texts in lower case and NFKC, without spaces and punctuation; a text of nothing else stays as it is."""
    bare = series.str.normalize("NFKC").str.to_lowercase().str.replace_all(CHANGING, "")
    return pl.select(pl.when(bare == "").then(series).otherwise(bare)).to_series().alias(series.name)
