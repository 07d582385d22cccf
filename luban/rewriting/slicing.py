"""Parts of the judged pairs that are worth a score of their own: short and long sources, and those with a rare word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from luban.columns import Columns
from luban.messages import both

SPELT = 4  # tokens of one word, from which it is rare: the vocabulary has no larger part of it
FEWEST = 20  # examples of a part


def slices_of(marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
    """(by what, which part, its marks), of the examples that were answered."""
    asked = np.asarray(marks["decoded"]) > 0
    read, spelt = np.asarray(marks["read"]), np.asarray(marks["spelt"])
    if asked.sum() < 2 * FEWEST:
        return
    low, high = (int(edge) for edge in np.quantile(read[asked], [1 / 3, 2 / 3]))
    by = both("length of the source")
    parts = (
        (by, both("up to {n} tokens", n=low), read <= low),
        (by, both("{n} to {m} tokens", n=low + 1, m=high), (read > low) & (read <= high)),
        (by, both("more than {n} tokens", n=high), read > high),
        (both("rare words"), both("every word in fewer than {n} tokens", n=SPELT), spelt < SPELT),
        (both("rare words"), both("a word in {n} tokens or more", n=SPELT), spelt >= SPELT),
    )
    for kind, name, inside in parts:
        rows = np.flatnonzero(asked & inside)
        if len(rows) >= FEWEST:
            yield kind, name, marks.take(rows)
