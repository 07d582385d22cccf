"""Pictures that are nearly the same: perceptual hashes, then the correlation of the small pictures themselves.

The hash is the signs of the 63 lowest frequencies against their median (Zauner 2010, "pHash"); it stays under scaling, other compression,
brightness. N pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE = 32  # pixels that are compared
LOW = 8  # frequencies each way
MOST_BITS = 6  # of 63 that may differ
ALIKE = 0.99  # correlation of two small pictures
PLAIN = 4.0  # grey levels of spread below which a picture shows nothing to compare


def small_picture(cell: Any) -> np.ndarray | None:
    """(32, 32) float32 of grey, or None for what can't be read or shows nothing."""
    from luban.pictures import open_picture

    picture, _ = open_picture(cell)
    if picture is None:
        return None
    try:
        with picture:
            picture.draft("L", (SIDE, SIDE))  # a JPEG is decoded small
            grey = np.asarray(picture.convert("L").resize((SIDE, SIDE)), np.float32)
    except (OSError, ValueError, SyntaxError):
        return None
    return grey if grey.std() >= PLAIN else None


def near_pictures(pictures: np.ndarray, others: np.ndarray) -> list[tuple[int, int, float]]:
    """(place, place among the others, correlation) of nearly equal pictures, both (N, 32, 32); the most alike first."""
    if not len(pictures) or not len(others):
        return []
    apart = (LOW * LOW - 1 - hashes_of(pictures) @ hashes_of(others).T) / 2  # (N, M) bits
    left, right = np.nonzero(apart <= MOST_BITS)
    one, other = standard(pictures), standard(others)
    alike = (one[left] * other[right]).sum(1)
    pairs = [(int(a), int(b), float(c)) for a, b, c in zip(left, right, alike, strict=True) if c >= ALIKE]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def hashes_of(pictures: np.ndarray) -> np.ndarray:
    """(N, 63) of -1 and 1."""
    step = np.arange(SIDE)
    waves = np.cos(np.pi * np.arange(LOW)[:, None] * (2 * step + 1) / (2 * SIDE)).astype(np.float32)  # the first rows of the DCT-II
    low = (waves @ pictures @ waves.T).reshape(len(pictures), -1)[:, 1:]  # without the mean
    return np.where(low > np.median(low, axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)


def standard(pictures: np.ndarray) -> np.ndarray:
    """(N, 1024) of mean 0 and length 1."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
