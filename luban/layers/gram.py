"""Histories of all batches as one sparse matrix, and how often items stand in the same history.

U users, I items.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Sparse = Any  # a Sparse: scipy does not say its types

ROWS = 4096  # users counted at once


def matrix(batches: Iterable[Any], num_items: int) -> Sparse:
    """(users of all batches, I) float32: the amounts, row by row as they come."""
    from scipy.sparse import csr_array

    lengths, items, amounts = [], [], []
    for batch in batches:
        lengths.append(batch.lengths.numpy())
        items.append(batch.history.numpy().astype(np.int32))
        amounts.append(batch.amount.numpy())
    starts = np.r_[0, np.cumsum(np.concatenate(lengths))]
    return csr_array((np.concatenate(amounts), np.concatenate(items), starts), shape=(len(starts) - 1, num_items))


def gram(users: Sparse) -> np.ndarray:
    """(I, I) float64 XᵀX, dense; users in blocks, because the sparse product of all would be as large again."""
    out = np.zeros((users.shape[1], users.shape[1]))
    for start in range(0, users.shape[0], ROWS):
        part = users[start : start + ROWS].astype(np.float64)
        product = (part.T @ part).tocoo()
        out[product.row, product.col] += product.data
    return out


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Of a symmetric positive definite matrix (I, I), in place by Cholesky's factors."""
    from scipy.linalg import get_lapack_funcs

    factorise, invert = get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, failed = factorise(matrix.T, lower=0, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    half, _ = invert(factor, lower=0, overwrite_c=1)
    upper = np.triu(half)
    return upper + np.triu(upper, 1).T


def relaxed(counts: np.ndarray, *, penalty: float, relax: float, dropout: float) -> np.ndarray:
    """(I, I) weights I - P diag(μ) with P = (XᵀX + Λ)⁻¹, Λ = λ I + p/(1-p) diag XᵀX; `counts` is overwritten.

    μ = (1 - ξ) / P_jj where the unconstrained diagonal 1 - Λ_j P_jj exceeds ξ, else Λ_j.
    """
    places = np.diag_indices_from(counts)
    ridge = penalty + dropout / (1 - dropout) * counts[places]
    counts[places] += ridge
    inverted = inverse(counts)
    diagonal = inverted[places].copy()
    weight = inverted * -np.where(1 - ridge * diagonal > relax, (1 - relax) / diagonal, ridge)
    weight[places] += 1
    return weight
