"""BM25 over a collection: what each term of each passage counts, kept term by term.

P passages, V terms, E postings (a term in a passage), B questions. Robertson and Zaragoza 2009, eq. 3.15: with tf of a term in a passage of length l,
weight = idf · tf (k₁ + 1) / (tf + k₁ (1 - b + b l / mean l)); idf = ln(1 + (P - n + ½) / (n + ½)) for a term in n passages, which is never below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luban.columns import Array, Ragged

K1, B = 1.2, 0.75
CELLS = 16_000_000  # scores held at once


@dataclass(frozen=True)
class Postings:
    """The passages of each term, terms by their keys in rising order."""

    terms: Array  # (V,) int64
    starts: Array  # (V + 1,) int64
    passages: Array  # (E,) int32
    weights: Array  # (E,) float32
    count: int  # P

    def idf(self) -> Array:
        """(V,) float64."""
        return idf(np.diff(self.starts), self.count)

    def places(self, asked: Array) -> tuple[Array, Array]:
        """(which of the asked keys are known, their places among the terms)."""
        if not len(self.terms):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        place = np.minimum(np.searchsorted(self.terms, asked), len(self.terms) - 1)
        known = np.flatnonzero(self.terms[place] == asked)
        return known, place[known]

    def scores(self, question: Array) -> Array:
        """(P,) float32 of one question's keys; a term that is asked twice counts twice."""
        out = np.zeros(self.count, np.float32)
        _, places = self.places(question)
        for place in places.tolist():
            span = slice(self.starts[place], self.starts[place + 1])
            out[self.passages[span]] += self.weights[span]
        return out

    def most(self, question: Array) -> float:
        """What a passage could score at most, if it held nothing but the question; terms that no passage holds count as the rarest."""
        known, places = self.places(question)
        rarest = float(idf(np.zeros(1), self.count)[0])
        return (K1 + 1) * float(self.idf()[places].sum() + rarest * (len(question) - len(known)))


def idf(passages: Array, count: int) -> Array:
    """Of terms that stand in so many passages."""
    return np.log1p((count - passages + 0.5) / (passages + 0.5))


def postings(passages: Ragged, k1: float = K1, b: float = B) -> Postings:
    """Of the keys of every passage."""
    owner, _ = passages.places()
    terms, term = np.unique(passages.flat(), return_inverse=True)
    count, lengths = len(passages), passages.lengths.astype(np.float64)
    pair, tf = np.unique(term.astype(np.int64) * max(1, count) + owner, return_counts=True)
    term, passage = pair // max(1, count), pair % max(1, count)
    starts = np.r_[0, np.cumsum(np.bincount(term, minlength=len(terms)))].astype(np.int64)
    mean = lengths.mean() if count and lengths.any() else 1.0
    norm = k1 * (1 - b + b * lengths[passage] / mean)
    weight = idf(np.diff(starts), count)[term] * tf * (k1 + 1) / (tf + norm)
    return Postings(terms, starts, passage.astype(np.int32), weight.astype(np.float32), count)


def best(scores: Array, count: int) -> Array:
    """(K,) places of the best, the best first; of equals the first."""
    count = min(count, len(scores))
    if count == 0:
        return np.zeros(0, np.int64)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    able = np.flatnonzero(scores >= least)
    return able[np.argsort(-scores[able], kind="stable")][:count]
