"""Items as sparse vectors of their features: words of a text, names of a category, thirds of a number, colours and edges of a picture. I items, F features."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 3  # of a number
EDGE = 8.0  # steps of brightness from a pixel to the next, from which there is an edge


def described(content: Any, num_items: int) -> Any:
    """(I, F) float64, each cell how often the item has the feature, damped; fields side by side."""
    from scipy.sparse import csr_array, hstack

    fields = [field(content.columns[name], num_items) for name in content.specs] if content is not None else []
    return csr_array(hstack(fields)) if fields else csr_array((num_items, 1))


def field(values: Any, num_items: int) -> Any:
    """One column: spans of codes, codes, or numbers."""
    if hasattr(values, "lengths"):
        owner, _ = values.places()
        flat = values.flat().astype(np.int64)
        owner, flat = owner[flat >= 0], flat[flat >= 0]
        return counted(owner, flat, num_items)
    values = np.asarray(values)
    if values.ndim == 4:
        return pictured(values)
    if values.dtype.kind in "iu":
        known = np.flatnonzero(values >= 0)
        return counted(known, values[known].astype(np.int64), num_items)
    wide = values.reshape(num_items, -1).astype(np.float64)
    owner, place = np.nonzero(np.isfinite(wide))
    edges = np.stack(
        [np.nanquantile(column, np.arange(1, BINS) / BINS) if np.isfinite(column).any() else np.zeros(BINS - 1) for column in wide.T]
    )
    bins = (wide[owner, place][:, None] > edges[place]).sum(1)
    return counted(owner, place * BINS + bins, num_items, width=wide.shape[1] * BINS)


def pictured(values: np.ndarray) -> Any:
    """(I, F) of pictures (I, C, H, W) uint8: colours in 64 cells of RGB, and edges by 8 directions in 4 × 4 fields (Dalal and Triggs 2005)."""
    from scipy.sparse import csr_array, hstack

    count, height, width = len(values), *values.shape[2:]
    coarse = (values // 64).astype(np.int64)
    colour = coarse[:, 0] if values.shape[1] == 1 else (coarse[:, 0] * 4 + coarse[:, 1]) * 4 + coarse[:, 2]  # (I, H, W)
    owner = np.repeat(np.arange(count), height * width)
    grey = values.mean(1, dtype=np.float32)
    down, right = (np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else np.zeros_like(grey) for axis in (1, 2))
    turn = np.floor((np.arctan2(down, right) / np.pi + 1) * 4).astype(np.int64) % 8
    place = np.arange(height)[:, None] * 4 // height * 4 + np.arange(width) * 4 // width  # (H, W) of 16 fields
    edge = (np.hypot(down, right) > EDGE).reshape(-1)
    edges = counted(owner[edge], (place * 8 + turn).reshape(-1)[edge], count, width=128)
    return csr_array(hstack([counted(owner, colour.reshape(-1), count, width=64), edges]))


def counted(owner: np.ndarray, feature: np.ndarray, num_items: int, *, width: int = 0) -> Any:
    """(I, F) 1 + log of how often."""
    from scipy.sparse import csr_array

    width = max(1, width, int(feature.max(initial=0)) + 1)
    found = csr_array((np.ones(len(owner)), (owner, feature)), shape=(num_items, width))
    found.sum_duplicates()
    found.data = 1 + np.log(found.data)
    return found


def weighed(items: Any, exponent: float) -> Any:
    """(I, F) each feature by its rarity log(1 + I / items that have it), to a power; every row of length 1."""
    count = np.maximum(1, np.diff(items.tocsc().indptr))
    return of_length_one(items, np.log(1 + items.shape[0] / count) ** exponent)


def of_length_one(items: Any, weight: np.ndarray) -> Any:
    """(I, F) the features times their weights (F,), every row of length 1."""
    from scipy.sparse import csr_array, diags_array

    rows = csr_array(items @ diags_array(weight.astype(np.float64)))
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).reshape(-1))
    return csr_array(diags_array(1 / np.maximum(length, 1e-12)) @ rows)
