"""Documents as rows of text for training: one long stream cut at every context, or whole documents fitted into rows.

N rows of the table, R rows of text, C context. A row of text is a span of C + 1 tokens at most: each but the last is read, each but the first foretold.
Whole documents in rows that begin with a document lose no beginning (Ding et al. 2024, best-fit packing); a stream fills every row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Literal

import numpy as np

from luban.columns import Ragged
from luban.mapped import gather

Packing = Literal["stream", "documents"]


@dataclass(frozen=True)
class Packed:
    """Spans over all tokens with the marks between documents, and the table row in which each begins."""

    spans: Ragged
    row: np.ndarray  # (R,)


def pack(tokens: Ragged, document: np.ndarray, row: np.ndarray, *, begin: int | None, end: int, context: int, packing: Packing) -> Packed:
    """Rows that follow each other with the same `document` are one document; `begin` and `end` stand around each, once where they are the same."""
    first = np.flatnonzero(np.r_[True, document[1:] != document[:-1]]) if len(document) else np.zeros(0, np.int64)
    owner = np.cumsum(np.isin(np.arange(len(document)), first)) - 1  # the document of each row
    length = np.bincount(owner, tokens.lengths, minlength=len(first)).astype(np.int64)
    head, tail = int(begin is not None), int(begin != end)
    order = np.flatnonzero(length)
    if packing == "documents":
        order = order[fitted(length[order] + head + tail, context + tail)]
    rank = np.full(len(first), -1)
    rank[order] = np.arange(len(order))
    rows = np.flatnonzero(rank[owner] >= 0) if len(owner) else np.zeros(0, np.int64)
    rows = rows[np.argsort(rank[owner[rows]], kind="stable")]
    flat = marked(tokens.take(rows), rank[owner[rows]], length[order], begin, end)
    bounds = np.r_[0, np.cumsum(length[order] + head + tail)]
    starts, lengths = cut(bounds, len(flat), context, packing, shared=begin == end)
    ends = np.cumsum(gather(tokens.lengths, rows))
    place = np.searchsorted(bounds, starts, side="right") - 1
    inside = np.minimum(starts - (head + tail) * place - head, (ends[-1] if len(ends) else 1) - 1)
    return Packed(Ragged(flat, starts, lengths), row[rows[np.searchsorted(ends, np.maximum(inside, 0), side="right")]])


def marked(tokens: Ragged, rank: np.ndarray, length: np.ndarray, begin: int | None, end: int) -> np.ndarray:
    """All tokens in one array with the marks around each document; two marks that are the same stand once, and once more at the end of all."""
    head, tail = int(begin is not None), int(begin != end)
    shared = begin == end
    total = int(length.sum()) + (head + tail) * len(length) + int(shared and len(length) > 0)
    largest = max(int(tokens.values.max(initial=0)), end, begin or 0)
    out = np.full(total, end, np.uint16 if largest < 2**16 else np.int32)
    owner = np.repeat(rank, tokens.lengths)
    out[np.arange(len(owner)) + owner * (head + tail) + head] = tokens.flat()
    if begin is not None and len(length):
        out[np.r_[0, np.cumsum(length + head + tail)[:-1]]] = begin
    return out


def cut(bounds: np.ndarray, total: int, context: int, packing: Packing, *, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of the rows."""
    if packing == "stream":
        starts = np.arange(0, max(0, total - 1), context, dtype=np.int64)
        return starts, np.minimum(context + 1, total - starts)
    starts, lengths, at = [], [], 0
    over = int(shared)  # the mark that begins the next document ends this one
    while at < len(bounds) - 1:
        last = max(at + 1, int(np.searchsorted(bounds, bounds[at] + context + 1 - over, side="right")) - 1)
        begin, stop = int(bounds[at]), int(bounds[last]) + over
        for place in range(begin, stop - 1, context):
            starts.append(place)
            lengths.append(min(context + 1, stop - place))
        at = last
    return np.array(starts, np.int64), np.array(lengths, np.int64)


def fitted(length: np.ndarray, room: int) -> np.ndarray:
    """An order of the documents in which rows of `room` tokens are filled best: each goes where it leaves least (best fit, decreasing)."""
    bins: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (room left, bin), sorted
    for place in np.argsort(-length, kind="stable").tolist():
        need = int(length[place])
        found = bisect_left(free, (need, -1))
        if found < len(free):
            left, number = free.pop(found)
        else:
            left, number = max(room, need), len(bins)
            bins.append([])
        bins[number].append(place)
        if left > need:
            insort(free, (left - need, number))
    return np.array([place for group in bins for place in group], np.int64)
