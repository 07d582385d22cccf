"""Passages by what terms go together: the largest singular directions of their weighted terms. P passages, V terms, R directions.

Deerwester et al. 1990; weights (1 + ln tf) · idf, rows of length 1, so that a question is folded in by V and compared by the cosine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.columns import Array, Ragged
from luban.retrieving.bm25 import Postings

MOST = 400_000_000  # bytes of the directions of all terms
TINY = 1e-9
SPARE, PASSES = 16, 6  # directions and passes that make the kept ones exact
LEAST = 1e-6  # of the largest: smaller ones are noise


class Latent(nn.Module):
    """Vectors of terms and of passages."""

    directions: Tensor  # (V, R)
    vectors: Tensor  # (P, R)

    def __init__(self, sizes: dict[str, int], rank: int) -> None:
        super().__init__()
        self.rank = rank_of(sizes, rank)
        self.register_buffer("directions", torch.zeros(sizes["terms"], self.rank))
        self.register_buffer("vectors", torch.zeros(sizes["passages"], self.rank))

    def index(self, passages: Ragged, known: Postings) -> None:
        """Find the directions."""
        from scipy.sparse import csr_array

        if not self.rank:
            return
        owner, _ = passages.places()
        term = known.places(passages.flat())[1]
        tf = csr_array((np.ones(len(term)), (owner, term)), shape=(len(passages), len(known.terms)))
        tf.sum_duplicates()
        tf.data = 1 + np.log(tf.data)
        weighted = csr_array(tf.multiply(known.idf()[None, :]))
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
        weighted = csr_array(weighted.multiply(1 / np.maximum(length, TINY)[:, None]))
        left, size, right = directions(weighted, self.rank)
        vectors = left * size
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY)
        for buffer, values in ((self.directions, right.T), (self.vectors, vectors)):
            buffer.zero_()
            buffer[: len(values), : values.shape[1]] = torch.from_numpy(values.astype(np.float32))

    def search(self, question: Array, known: Postings) -> Array:
        """(P,) cosines of the question with every passage."""
        _, places = known.places(question)
        vector = known.idf()[places].astype(np.float32) @ self.directions.cpu().numpy()[places]
        return (self.vectors.cpu().numpy() @ vector) / np.float32(max(TINY, float(np.linalg.norm(vector))))


def directions(matrix: Any, rank: int) -> tuple[Array, Array, Array]:
    """(P, R), (R,), (R, V): the largest singular directions, by subspaces of a fixed beginning (Halko, Martinsson and Tropp 2011, algorithm 4.4).

    Those without any size are 0, for they could be any.
    """
    wide = min(rank + SPARE, *matrix.shape)
    basis = matrix @ np.random.default_rng(0).normal(size=(matrix.shape[1], wide))
    for _ in range(PASSES):
        basis = matrix @ (matrix.T @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    left, size, right = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    some = size[:rank] > LEAST * size[0]
    return (basis @ left)[:, :rank] * some, size[:rank] * some, right[:rank] * some[:, None]


def rank_of(sizes: dict[str, int], rank: int) -> int:
    """Directions that such a collection has, and that the memory holds."""
    most = MOST // max(1, 4 * (sizes["terms"] + sizes["passages"]))
    return max(0, min(rank, sizes["passages"] - 2, sizes["terms"] - 2, most))
