"""A small sketch of the training rows: whoever evaluates a bundle on the rows it learnt from is told so.

The k smallest of all rows' digests (Broder 1997, min-wise sampling) are an even sample of the distinct rows. No row can be read from them, but who
guesses a whole row can check the guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from luban.columns import Array, Columns, Ragged
from luban.draw import key_of, mix
from luban.errors import warn
from luban.mapped import gather
from luban.messages import tr

KEPT = 4096
CHUNK = 4096
FEWEST = 10  # rows that can be compared, below which nothing is said
NOTICEABLE = 0.05  # share beyond what the run's own held-out rows share with the training rows


def fingerprint(train: Columns, held_out: list[Columns]) -> dict[str, Any]:
    """The smallest digests of the training rows, and the share of held-out rows that equal one anyway."""
    found = np.zeros(0, np.uint64)
    for part in digests(train):
        found = np.unique(np.concatenate([found, part]))[: KEPT + 1]  # one more tells that there are more
    kept = {"whole": len(found) <= KEPT, "digests": [f"{digest:016x}" for digest in found[:KEPT].tolist()]}
    shares = [share for part in held_out if len(part) and (share := share_of(part, kept)) is not None]
    return kept | {"by_chance": round(max(shares, default=0.0), 4)}


def warn_of_training_rows(examples: Columns, known: dict[str, Any]) -> None:
    """Say so where more of the rows stood in training than chance brings about."""
    share = share_of(examples, known) if known else None
    if share is not None and share > float(known["by_chance"]) + NOTICEABLE:
        what = tr("about {share:.0%} of these rows trained the model: it is asked what it was told", share=share)
        warn("W234", what, fix=tr("score it on rows that it never saw"))


def share_of(examples: Columns, known: dict[str, Any]) -> float | None:
    """Share of the rows that are training rows, judged by those whose digests the sketch would hold; None of too few."""
    kept = np.array([int(digest, 16) for digest in known["digests"]], np.uint64)
    count = hits = 0
    for found in digests(examples):
        compared = found if known["whole"] or not len(kept) else found[found <= kept[-1]]
        count, hits = count + len(compared), hits + int(np.isin(compared, kept).sum())
    return hits / count if count >= FEWEST else None


def digests(examples: Columns) -> Iterator[Array]:
    """(some N,) uint64 again and again, of every encoded value of a row: how a file writes it does not count."""
    for start in range(0, len(examples), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(examples)))
        total = np.zeros(len(rows), np.uint64)
        with np.errstate(over="ignore"):
            for name in sorted(examples.data):
                total += mix(column_digests(examples.data[name], rows) ^ np.uint64(key_of(name)))
        yield mix(total)


def column_digests(values: Any, rows: Array) -> Array:
    """(rows,) uint64 sums of mixed values, each keyed by its place in the row."""
    if isinstance(values, Ragged):
        part = values.take(rows)
        owner, within = part.places()
        flat = words(part.flat(), len(owner))
        mixed = mix(flat ^ mix(within.astype(np.uint64))[:, None]).sum(1, dtype=np.uint64)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
        ends = np.cumsum(part.lengths)
        return sums[ends] - sums[ends - part.lengths]
    return words(gather(values, rows), len(rows)).sum(1, dtype=np.uint64)


def words(values: Array, count: int) -> Array:
    """(count, W) uint64 of the values' bits, keyed by their place; every missing number is alike."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.float64("nan"), values.astype(np.float64)) + 0.0
        bits = values.view(np.uint64)
    else:
        bits = values.astype(np.int64).view(np.uint64)
    bits = bits.reshape(count, math.prod(bits.shape[1:]))
    return mix(bits ^ mix(np.arange(bits.shape[1], dtype=np.uint64)))
