"""Texts that are nearly the same: MinHash signatures, buckets of alike ones, then the exact likeness of each pair.

Likeness: the Jaccard index of the sets of runs of four characters (Broder 1997). Buckets: Leskovec, Rajaraman and Ullman, "Mining of
massive datasets", ch. 3.4; twelve bands of four hashes find a pair of likeness 0.8 with probability 0.998.
N texts, S runs of four characters in all of them, P hashes of a signature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RUN = 4
BANDS, BAND = 12, 4
LIKENESS = 0.8
SURE_ENOUGH = 0.65  # agreeing hashes from which a pair is compared exactly
MOST_PAIRS = 20_000  # compared exactly
MIXERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)


def near_pairs(texts: Sequence[str], first: np.ndarray | None = None) -> list[tuple[int, int, float]]:
    """(place, other place, likeness) of texts at least 0.8 alike, the most alike first. `first`: a rank; a bucket's lowest meets all others.

    Texts of fewer than four characters are left out.
    """
    places = np.array([place for place, text in enumerate(texts) if len(text) >= RUN], np.int64)
    if len(places) < 2:
        return []
    runs, starts = runs_of([texts[int(place)] for place in places])
    signatures = signatures_of(runs, starts)
    rank = np.zeros(len(places), np.int64) if first is None else np.asarray(first)[places]
    left, right = candidates(signatures, rank)
    agreeing = (signatures[left] == signatures[right]).mean(1)
    order = np.argsort(-agreeing, kind="stable")
    order = order[agreeing[order] >= SURE_ENOUGH][:MOST_PAIRS]
    ends = np.append(starts[1:], len(runs))
    sets = {int(at): np.unique(runs[starts[at] : ends[at]]) for at in np.unique(np.concatenate([left[order], right[order]]))}
    pairs = [(int(places[a]), int(places[b]), jaccard(sets[int(a)], sets[int(b)])) for a, b in zip(left[order], right[order], strict=True)]
    return sorted((pair for pair in pairs if pair[2] >= LIKENESS), key=lambda pair: (-pair[2], pair[:2]))


def runs_of(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(S,) uint64 hashes of all runs of four characters, and (N,) where each text's begin."""
    lengths = np.array([len(text) for text in texts], np.int64)
    characters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(characters) - RUN + 1, np.uint64)
    for place, mixer in enumerate(MIXERS):
        hashes = (hashes ^ characters[place : place + len(hashes)]) * np.uint64(mixer)
        hashes ^= hashes >> np.uint64(29)
    own_end = np.repeat(np.cumsum(lengths), lengths)[: len(hashes)]
    starts = np.concatenate([[0], np.cumsum(lengths - RUN + 1)[:-1]])
    return hashes[np.arange(len(hashes)) + RUN <= own_end], starts  # a run that reaches into the next text is none


def signatures_of(runs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(N, P) uint32: for each hash function the least over a text's runs."""
    factors = np.random.default_rng(0).integers(0, 2**63, BANDS * BAND, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return np.stack([np.minimum.reduceat((runs * factor) >> np.uint64(32), starts).astype(np.uint32) for factor in factors], axis=1)


def candidates(signatures: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two (C,) places of pairs that share a bucket: each text with the one before it, and with the first of the bucket."""
    left, right = [], []
    for band in range(BANDS):
        part = signatures[:, band * BAND : (band + 1) * BAND].astype(np.uint64)
        key = (part * np.array(MIXERS, np.uint64)).sum(1)
        order = np.lexsort((rank, key))
        new = np.r_[True, key[order][1:] != key[order][:-1]]
        head = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
        before = np.r_[order[:1], order[:-1]]
        left += [head[~new], before[~new]]
        right += [order[~new], order[~new]]
    pairs = np.unique(np.sort(np.stack([np.concatenate(left), np.concatenate(right)], axis=1), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the union that both sets hold; each holds its members once."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
