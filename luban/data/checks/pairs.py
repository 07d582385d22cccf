"""Pairs of texts that do not belong together: empty sides, copies, the wrong direction, another language, odd lengths, the same pair again.

Nothing is known of any language: what each side looks like is learnt from the rows themselves, by runs of one to three letters (Cavnar and Trenkle 1994).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from luban.data.checks.finding import Finding, Subject, ok
from luban.draw import mix
from luban.messages import said, tr

TASKS = ("text_to_text",)
MOST_ROWS, MOST_CHARACTERS = 100_000, 400  # looked at; the rows from the front, each text from its start
BUCKETS, SMOOTH = 1 << 16, 0.1  # for runs of letters
APART = 0.9  # share of the rows in which the sides must look unlike each other, for a language to be told
SURE = 0.5  # nats a run of letters, from which a side looks like the other one
SHORT = 20  # characters, below which neither length nor language is judged
FACTOR, SPREADS = 3.0, 6.0  # a length is odd beyond this factor from the usual, and so many spreads
LETTER = r"\p{L}"


@dataclass(frozen=True)
class Odd:
    """A row that was found, in which column, and why; `reason` is in the reader's language."""

    row: int
    column: str
    reason: str


def pairs(subject: Subject) -> Iterator[Finding]:
    """Everything that a table of texts and answers can have; nothing for other tasks. Rows are left in `subject.found["pairs"]`."""
    names = [name for name, kind in subject.inputs.items() if kind == "text"]
    if subject.task not in TASKS or len(names) != 1 or subject.target not in subject.table.columns or not subject.table.height:
        return
    table = subject.table.head(MOST_ROWS)
    source, target = text_of(table, names[0]), text_of(table, str(subject.target))
    odd: dict[str, list[Odd]] = {}
    empty = (source == "").fill_null(True) | (target == "").fill_null(False)
    columns = (names[0], str(subject.target))
    odd["W284"] = [Odd(row, columns[int(source[row] not in ("", None))], tr("an empty side")) for row in np.flatnonzero(empty).tolist()]
    whole = np.flatnonzero((~empty & target.is_not_null()).to_numpy())
    left, right = source.gather(whole), target.gather(whole)
    copied = (left.str.to_lowercase() == right.str.to_lowercase()) & left.str.contains(LETTER)
    if copied.sum() <= 0.5 * len(copied):
        odd["W283"] = [Odd(int(row), columns[1], tr("the target is a copy of the source")) for row in whole[copied.to_numpy()]]
    odd |= by_language(left, right, whole, copied.to_numpy(), columns)
    odd["W280"] = by_length(left, right, whole, columns)
    again = pl.DataFrame({"a": left, "b": right}).select(~pl.struct("a", "b").is_first_distinct()).to_series()
    odd["W285"] = [Odd(int(row), columns[0], tr("the same pair stands above")) for row in whole[again.to_numpy()]]
    subject.found["pairs"] = [replace(one, reason=f"{code} {one.reason}") for code, found in odd.items() for one in found]
    yield from told(odd, len(table), columns)


def text_of(table: pl.DataFrame, name: str) -> pl.Series:
    """A column as bare text."""
    return table[name].cast(pl.String).str.strip_chars().alias(name)


def told(odd: dict[str, list[Odd]], count: int, columns: tuple[str, str]) -> Iterator[Finding]:
    """A finding for each kind of fault, or that there is none."""
    details: dict[str, Callable[[dict[str, str]], tuple[str, str]]] = {
        "W280": lambda n: (
            said("{count} pairs ({share}) have an odd ratio of lengths", **n),
            said("`luban check` lists them; drop those that do not say the same"),
        ),
        "W281": lambda n: (
            said("{count} pairs ({share}) look as if source and target had changed places", **n),
            said("`luban check` lists them; turn them round"),
        ),
        "W282": lambda n: (
            said("{count} targets ({share}) look like the language of the sources", **n),
            said("`luban check` lists them; drop what was not translated"),
        ),
        "W283": lambda n: (
            said("{count} targets ({share}) are copies of their source", **n),
            said("`luban check` lists them; a model learns to copy from them"),
        ),
        "W284": lambda n: (said("{count} pairs ({share}) have an empty side", **n), said("`luban check` lists them; they are left out")),
        "W285": lambda n: (
            said("{count} pairs ({share}) stand there twice", **n),
            said("`luban check` lists them; drop them, unless the repetition means something"),
        ),
    }
    found = False
    for code, words in details.items():
        if rows := odd.get(code, []):
            found = True
            detail, fix = words({"count": f"{len(rows):,}", "share": f"{len(rows) / count:.1%}"})
            yield Finding(code, "warning", said("pairs"), detail, fix, columns[1])
    if not found:
        yield ok(said("pairs"), said("{count} pairs: none empty, copied, turned round or of an odd length", count=f"{count:,}"))


def by_length(left: pl.Series, right: pl.Series, whole: np.ndarray, columns: tuple[str, str]) -> list[Odd]:
    """Pairs whose ratio of lengths lies far from the usual one."""
    lengths = np.stack([left.str.len_chars().to_numpy(), right.str.len_chars().to_numpy()]).astype(np.float64)
    ratio = np.log(np.maximum(lengths[1], 1) / np.maximum(lengths[0], 1))
    if not len(ratio):
        return []
    centre = np.median(ratio)
    spread = 1.4826 * np.median(np.abs(ratio - centre))
    strange = (np.abs(ratio - centre) > max(np.log(FACTOR), SPREADS * spread)) & (lengths.max(0) >= SHORT)
    usual = f"{np.exp(centre):.2f}"
    return [
        Odd(
            int(whole[i]),
            columns[1],
            tr("{n:.0f} characters for {m:.0f}; usual are {usual} for one", n=lengths[1, i], m=lengths[0, i], usual=usual),
        )
        for i in np.flatnonzero(strange)
    ]


def by_language(left: pl.Series, right: pl.Series, whole: np.ndarray, copied: np.ndarray, columns: tuple[str, str]) -> dict[str, list[Odd]]:
    """Pairs turned round, and targets that were not translated, where the two sides can be told apart at all."""
    if len(left) < 2:
        return {}
    sides = [letters(left), letters(right)]
    counts = [np.bincount(code, minlength=BUCKETS).astype(np.float64) for code, _ in sides]
    total = [np.log(count.sum() + SMOOTH * BUCKETS) for count in counts]
    lean = []  # above 0: looks like a source; a text never speaks for its own side
    for own, (code, owner) in enumerate(sides):
        logs = [np.log(counts[side][code] - (side == own) + SMOOTH) - total[side] for side in range(2)]
        lean.append(mean_of(logs[0] - logs[1], owner, len(left)))
    if min((lean[0] > 0).mean(), (lean[1] < 0).mean()) < APART:
        return {}
    long = [series.str.len_chars().to_numpy() >= SHORT / 2 for series in (left, right)]
    foreign = long[1] & (lean[1] > SURE) & ~copied
    turned = foreign & (lean[0] < -SURE) & long[0]
    return {
        "W281": [Odd(int(row), columns[0], tr("source and target look as if they had changed places")) for row in whole[turned]],
        "W282": [Odd(int(row), columns[1], tr("the target looks like the language of the sources")) for row in whole[foreign & ~turned]],
    }


def letters(series: pl.Series) -> tuple[Any, Any]:
    """Bucket of every one, two and three letters that follow each other inside a text, and the text they are of."""
    texts = [f" {text[:MOST_CHARACTERS].lower()} " for text in series.to_list()]
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    codes, owners, mixed = [], [], points
    for order in range(3):
        mixed = mix(points + np.uint64(order)) if order == 0 else mix(mixed[:-1] ^ points[order:])
        inside = owner[: len(mixed)] == owner[order:]
        codes.append((mixed[inside] >> np.uint64(48)).astype(np.int64))
        owners.append(owner[order:][inside])
    return np.concatenate(codes), np.concatenate(owners)


def mean_of(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """(count,) mean of the values of each, 0 of none."""
    return np.bincount(owner, values, count) / np.maximum(1, np.bincount(owner, minlength=count))
