"""Marks of answers in words: what was said, what was right, slices and the worst of them. N questions, A characters kept of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from luban.answering.contexts import characters, written
from luban.answering.questions import OTHER, name_of
from luban.columns import Array, Columns
from luban.messages import both

SHOWN = 120  # characters of an answer that a report shows
LENGTHS = (0, 128, 384, 1024, 4096, np.inf)  # tokens of a context from which a slice begins
FEWEST = 5  # questions of a slice
Mistake = tuple[int, str, str, float]


def packed(texts: Sequence[str]) -> Array:
    """(N, A) int32 code points, -1 after the end."""
    out = np.full((len(texts), SHOWN), -1, np.int32)
    for row, text in enumerate(texts):
        points = characters(text)[:SHOWN]
        out[row, : len(points)] = points
    return out


def mistakes(marks: Columns, most: int) -> list[Mistake]:
    """(place, right answer, what was said, chance that was said of it) of the surest of the wrong answers."""
    f1, sure = np.asarray(marks["f1"]), np.asarray(marks["sure"])
    wrong = np.flatnonzero(f1 < 0.5)
    order = wrong[np.argsort(f1[wrong] - sure[wrong], kind="stable")][:most]
    return [(int(place), written(marks["wanted"][place]), written(marks["spoken"][place]), float(sure[place])) for place in order]


def slices(marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
    """By what is asked for, whether there is an answer, and how long the text is."""
    kind, answerable = np.asarray(marks["asks"]), np.asarray(marks["answerable"]).astype(bool)
    parts: list[tuple[Any, Any, Array]] = [(both("question"), name_of(number), kind == number) for number in range(OTHER + 1)]
    parts += [(both("answer"), both("there is one"), answerable), (both("answer"), both("there is none"), ~answerable)]
    if "length" in marks:
        length = np.asarray(marks["length"])
        for low, high in pairwise(LENGTHS):
            name = both("{low} and more", low=f"{low:,}") if high == np.inf else f"{low:,} … {int(high) - 1:,}"
            parts.append((both("length of the text in tokens"), name, (length >= low) & (length < high)))
    for by, name, inside in parts:
        if inside.sum() >= FEWEST and not inside.all():
            yield by, name, marks.take(np.flatnonzero(inside))
