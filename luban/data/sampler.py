"""The order of examples: a pure function of (seed, epoch, position). Its whole state is one position.

The permutation is a keyed Feistel network walked until it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"):
O(1) memory for a billion rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luban.draw import key_of, mix
from luban.mapped import gather, total

Position = tuple[int, int, int]  # epoch, window, batch: where the next batch begins
WINDOW = 65_536


def permute(index: np.ndarray, count: int, key: int) -> np.ndarray:
    """A bijection on range(count), chosen by the key."""
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    round_keys = [np.uint64(key_of(key, r)) for r in range(4)]
    x = rounds(np.asarray(index, np.uint64), half, mask, round_keys)
    while (outside := x >= np.uint64(count)).any():
        x[outside] = rounds(x[outside], half, mask, round_keys)
    return x.astype(np.int64)


def rounds(x: np.ndarray, half: np.uint64, mask: np.uint64, keys: list[np.uint64]) -> np.ndarray:
    """Four Feistel rounds on numbers of twice `half` bits."""
    left, right = x >> half, x & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return left << half | right


@dataclass(frozen=True)
class Sampler:
    """Endless batches of row indices; every row once an epoch."""

    count: int
    sizes: np.ndarray | None  # (N,) what each example costs, padding included; None = 1 each
    batch_size: int  # examples a batch, on average where sizes differ
    seed: int

    @property
    def allowance(self) -> int:
        """What one batch may cost, padding included."""
        return self.batch_size if self.sizes is None else max(1, round(self.batch_size * self.mean_size))

    @cached_property
    def mean_size(self) -> float:
        """What an example costs on average."""
        return 1.0 if self.sizes is None else total(self.sizes) / len(self.sizes)

    def batches(self, epoch: int, window: int) -> list[np.ndarray]:
        """The batches of one window of the epoch's order; similar sizes together, then shuffled."""
        places = np.arange(window * WINDOW, min((window + 1) * WINDOW, self.count))
        rows = permute(places, self.count, key_of(self.seed, epoch, "order"))
        if self.sizes is None:
            return [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        sizes = gather(self.sizes, rows)
        order = np.argsort(sizes, kind="stable")
        cut = np.split(rows[order], cuts(sizes[order], self.allowance))
        return [cut[i] for i in permute(np.arange(len(cut)), len(cut), key_of(self.seed, epoch, window, "batches"))]

    def start(self, position: Position = (0, 0, 0)) -> Iterator[tuple[Position, np.ndarray]]:
        """From a position on: (position after this batch, its rows)."""
        epoch, window, batch = position
        while True:
            batches = self.batches(epoch, window)
            for place in range(batch, len(batches)):
                yield (epoch, window, place + 1), batches[place]
            batch, window = 0, window + 1
            if window * WINDOW >= self.count:
                epoch, window = epoch + 1, 0

    def padding(self) -> float:
        """Share of the first epoch's batch cells that hold padding."""
        if self.sizes is None:
            return 0.0
        parts = [gather(self.sizes, rows) for window in range(-(-self.count // WINDOW)) for rows in self.batches(0, window)]
        return 1 - sum(int(p.sum()) for p in parts) / sum(int(p.max()) * len(p) for p in parts)


def cuts(sizes: np.ndarray, allowance: int) -> list[int]:
    """Where to cut rows of rising sizes so that no batch, padded to its longest, costs more than the allowance."""
    places, start = [], 0
    ends = np.arange(1, len(sizes) + 1)
    while True:
        over = np.flatnonzero(sizes[start:] * (ends[start:] - start) > allowance)
        over = over[over > 0]
        if not len(over):
            return places
        start += int(over[0])
        places.append(start)
