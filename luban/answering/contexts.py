"""Contexts as tokens that know their characters, and right answers as places among them. C characters, S tokens of a context."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Array, Ragged
from luban.kinds.text import chunks
from luban.messages import tr
from luban.tokenizing.subwords import Subwords, exchanged

UNKNOWN, NONE, THERE = -1, 0, 1  # what is said of the answer: nothing, that there is none, where it is
BETWEEN = -1  # stands between two right answers


@dataclass(frozen=True)
class Cut:
    """A context cut into tokens."""

    tokens: Array  # (S,) int32
    begin: Array  # (S,) int32, the character each begins at
    end: Array  # (S,) int32


def cut_all(texts: list[str], pieces: Subwords) -> list[Cut]:
    """Each text whole; what opens and closes a text is left out."""
    found = []
    for chunk in chunks(texts):
        for encoding in pieces.tokenizer.encode_batch(chunk, add_special_tokens=False):
            offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
            tokens = exchanged(np.array(encoding.ids, np.int32), pieces.parts.pad)
            found.append(Cut(tokens, offsets[:, 0].copy(), offsets[:, 1].copy()))
    return found


def characters(text: str) -> Array:
    """(C,) int32 code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32)


def written(points: Any) -> str:
    """The text of code points; what is below 0 is left out."""
    values = np.asarray(points, np.int32)
    return values[values >= 0].tobytes().decode("utf-32-le", "replace")


@dataclass(frozen=True)
class Gold:
    """The right answers of one question."""

    said: int  # UNKNOWN, NONE, THERE
    texts: tuple[str, ...] = ()
    first: int = -1  # tokens of the first of them that stands in the context
    last: int = -1
    fault: str = ""  # why the row cannot be used

    def points(self) -> Array:
        """All texts in one array, BETWEEN them."""
        parts = [part for text in self.texts for part in (characters(text), np.array([BETWEEN], np.int32))]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def gold_of(cell: Any, starts: Any, context: str, cut: Cut, none: str) -> Gold:
    """What a cell says: missing, no answer (empty, or the word for it), a text, or several; `starts` are the characters they begin at."""
    if cell is None:
        return Gold(UNKNOWN)
    texts = [cell] if isinstance(cell, str) else [text for text in cell if text is not None]
    if not texts or (len(texts) == 1 and texts[0].strip() == none):
        return Gold(NONE)
    if not all(text.strip() for text in texts):
        return Gold(UNKNOWN, fault=tr("an answer is empty"))
    places = [None] * len(texts) if starts is None else [starts] if isinstance(starts, int | float) else list(starts)
    if len(places) != len(texts):
        return Gold(UNKNOWN, fault=tr("there are {answers} answers and {starts} places", answers=len(texts), starts=len(places)))
    found = (-1, -1)
    for text, start in zip(texts, places, strict=True):
        place = context.find(text) if start is None else int(start)
        if place < 0 or context[place : place + len(text)] != text:
            return Gold(UNKNOWN, fault=tr("the answer {answer} does not stand in the context", answer=repr(text[:40])))
        found = found if found[0] >= 0 else tokens_of(cut, place, place + len(text))
    if found[0] < 0:
        return Gold(UNKNOWN, fault=tr("the answer {answer} has nothing that tokens stand for", answer=repr(texts[0][:40])))
    return Gold(THERE, tuple(texts), *found)


def tokens_of(cut: Cut, begin: int, end: int) -> tuple[int, int]:
    """The first and the last token of a span of characters; -1 where it has none."""
    first, last = int(np.searchsorted(cut.end, begin, "right")), int(np.searchsorted(cut.begin, end, "left")) - 1
    return (first, last) if first <= last else (-1, -1)


def as_ragged(parts: list[Array], dtype: Any) -> Ragged:
    """One span for each part."""
    return Ragged.of(np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype), [len(part) for part in parts])


def texts_of(series: pl.Series) -> list[str]:
    """Missing becomes empty."""
    return series.cast(pl.String).fill_null("").to_list()


@lru_cache(maxsize=4096)
def truths(points: bytes) -> tuple[str, ...]:
    """The right answers that `Gold.points` put into one array."""
    values = np.frombuffer(points, np.int32)
    ends = np.flatnonzero(values == BETWEEN)
    return tuple(written(part) for part in np.split(values[: ends[-1]] if len(ends) else values[:0], ends[:-1]) if len(part))
