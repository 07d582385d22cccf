"""Pairs of texts to tokens, each row by itself, and why some can't be read.

N rows. Of a source the tokens of its text alone; marks and tags are added in the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Columns, Ragged, Reject
from luban.language.answering import sizes
from luban.messages import tr
from luban.rewriting.sides import Sides
from luban.tokenizing.tokenizer import Tokenizer

SOURCE, TARGET, TAG, HAS, DECODE = "source", "target", "tag", "has target", "decode"
ASKED, GREEDILY, AS_LONG = 1, 2, 4  # bits of `decode`: to be answered; by the likeliest token each time; at the lengths of the targets
NO_TAG = -1


def encode(table: pl.DataFrame, sides: Sides, columns: tuple[str, str, str], tags: list[str], room: tuple[int, int]) -> Columns:
    """`columns` are source, target and language ("" = none); `room` are the tokens of a source (0 = any) and of a target."""
    source, target, language = columns
    count = len(table)
    left, right = texts(table, source), texts(table, target) if target in table.columns else [None] * count
    asked = [str(cell) for cell in table[language].to_list()] if tags and language in table.columns else [""] * count
    reasons = [fault(a, b, tag, tags) for a, b, tag in zip(left, right, asked, strict=True)]
    sources = sides.source.encode([sides.written(text or "") for text in left])
    targets = sides.answer.encode([sides.written(text or "") for text in right])
    rejects = []
    for row, reason in enumerate(reasons):
        found = (
            reason
            or unknown(sources[row], targets[row], sides.source)
            or too_long(int(sources.lengths[row]), int(targets.lengths[row]), room, known=right[row] is not None)
        )
        if found:
            column = {"source": source, "target": target, "tag": language}[found[0]]
            rejects.append(Reject(row, column, found[1], str(table[column][row])[:80]))
    kept = np.setdiff1d(np.arange(count), [reject.row for reject in rejects])
    numbers = {tag: number for number, tag in enumerate(tags)}
    data: dict[str, Any] = {
        SOURCE: compact(sources.take(kept)),
        TARGET: compact(targets.take(kept)),
        TAG: np.array([numbers.get(asked[row], NO_TAG) for row in kept], np.int64),
        HAS: np.array([right[row] is not None for row in kept], np.uint8),
        DECODE: np.full(len(kept), ASKED, np.uint8),
    }
    return Columns(data, kept, sizes(data[SOURCE].lengths + 1, data[TARGET].lengths + 1), tuple(rejects))


def marked(examples: Columns, how: int | np.ndarray) -> Columns:
    """The same examples, to be answered so."""
    flags = np.broadcast_to(np.asarray(how, np.uint8), len(examples)).copy()
    return replace(examples, data={name: value for name, value in examples.data.items() if name != DECODE} | {DECODE: flags})


def texts(table: pl.DataFrame, column: str) -> list[str | None]:
    """Cells as bare texts."""
    return table[column].cast(pl.String).str.strip_chars().to_list()


def compact(spans: Ragged) -> Ragged:
    """The same, nothing else in the array."""
    return Ragged.of(spans.flat(), spans.lengths)


def fault(source: str | None, target: str | None, tag: str, tags: list[str]) -> tuple[str, str] | None:
    """The side at fault and why."""
    if not source:
        return "source", tr("the source is empty")
    if target == "":
        return "target", tr("the target is empty")
    if tags and tag not in tags:
        return "tag", tr("no training row asks for this language: {known}", known=", ".join(tags[:8]))
    return None


def unknown(source: np.ndarray, target: np.ndarray, own: Tokenizer) -> tuple[str, str] | None:
    """A symbol that the tokenizer does not know."""
    if own.form != "symbols":
        return None
    for side, tokens in (("source", source), ("target", target)):
        if (tokens == 0).any():
            return side, tr("a symbol that no training row has")
    return None


def too_long(source: int, target: int, room: tuple[int, int], *, known: bool) -> tuple[str, str] | None:
    """A pair that does not fit whole; a source without a target is cut into windows instead."""
    if known and room[0] and source > room[0]:
        return "source", tr("{n} tokens, more than the context of {most}", n=source, most=room[0])
    if known and target > room[1]:
        return "target", tr("{n} tokens, more than the context of {most}", n=target, most=room[1])
    return None
