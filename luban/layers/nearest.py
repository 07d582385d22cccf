"""Nearest rows of a sparse matrix by the cosine, shrunk by how many columns two rows share. N rows, C columns, K neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Sparse = Any  # a Sparse: scipy does not say its types

CELLS = 1 << 23  # similarities held at once


def nearest(rows: Sparse, count: int, shrink: float) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """(from, to, (n, K) int32 neighbours, (n, K) float32 similarities) block by block; a row is no neighbour of its own."""
    step = max(1, CELLS // max(1, rows.shape[0]))
    for start in range(0, rows.shape[0], step):
        stop = min(start + step, rows.shape[0])
        near, similarity = nearest_to(rows[start:stop], rows, count, shrink, own=np.arange(start, stop))
        yield start, stop, near, similarity


def nearest_to(asked: Sparse, rows: Sparse, count: int, shrink: float, *, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) int32 neighbours and (n, K) float32 similarities, nearest first, equal ones by their place, 0 = none; `own` (n,) is left out."""
    count = min(count, rows.shape[0])
    step = max(1, CELLS // max(1, rows.shape[0]))
    parts = [similar(asked[i : i + step], rows, shrink, own[i : i + step]) for i in range(0, asked.shape[0], step)]
    kept = [largest(part, count) for part in parts]
    if not kept:
        return np.zeros((0, count), np.int32), np.zeros((0, count), np.float32)
    return np.concatenate([near for near, _ in kept]), np.concatenate([value for _, value in kept])


def similar(asked: Sparse, rows: Sparse, shrink: float, own: np.ndarray) -> np.ndarray:
    """(n, N) float32."""
    lengths = [np.sqrt(np.asarray(part.multiply(part).sum(1)).reshape(-1)) for part in (asked, rows)]
    together = (asked @ rows.T).toarray()
    if shrink:
        ones = [part.astype(bool).astype(np.float32) for part in (asked, rows)]
        shared = (ones[0] @ ones[1].T).toarray()
        together *= shared / (shared + shrink)
    together /= np.maximum(lengths[0][:, None] * lengths[1], 1e-12)
    here = np.flatnonzero((own >= 0) & (own < rows.shape[0]))
    together[here, own[here]] = 0
    return together.astype(np.float32)


def largest(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) places and values of the largest; of equal ones the first."""
    if count < values.shape[1]:
        least = -np.partition(-values, count - 1, axis=1)[:, count - 1 : count]
        sure, open_ = values > least, values == least
        lacking = count - sure.sum(1, keepdims=True)
        chosen = sure | (open_ & (np.cumsum(open_, axis=1) <= lacking))
        near = np.nonzero(chosen)[1].reshape(len(values), count)
    else:
        near = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    found = np.take_along_axis(values, near, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(near, order, 1).astype(np.int32), np.take_along_axis(found, order, 1)
