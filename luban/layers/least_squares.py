"""Alternating least squares over what was taken and, weakly, over all pairs; in blocks of dimensions where there are many.

Rendle et al. 2021, "Revisiting the performance of iALS on item recommendation benchmarks" (the objective, its regularisation by frequency), and
Rendle et al. 2021, "iALS++: speeding up matrix factorization with subspace optimization" (the blocks). N rows solved, M others, F factors,
B rows at once, T longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CELLS = 1 << 19  # of gathered factors held at once: 2 MB, what a cache holds


@dataclass(frozen=True)
class Spans:
    """A sparse matrix by rows."""

    starts: np.ndarray  # (N + 1,)
    items: np.ndarray  # (E,)
    amounts: np.ndarray  # (E,) float32

    @property
    def lengths(self) -> np.ndarray:
        """(N,)"""
        return np.diff(self.starts)

    def chunks(self, factors: int, *, least: int) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
        """(rows, (B, T) items, (B, T) amounts, 0 = padding): rows of about the same length, each counted as `least` long, as many as allowed."""
        lengths = self.lengths
        order, begin = np.argsort(lengths, kind="stable"), 0
        while begin < len(order):
            rising = lengths[order[begin : begin + CELLS // (least * factors) + 1]]
            cells = np.arange(1, len(rising) + 1) * np.maximum(rising, least) * factors
            end = begin + max(1, int(np.searchsorted(cells, CELLS, side="right")))
            yield order[begin:end], *self.padded(order[begin:end], int(lengths[order[end - 1]]))
            begin = end

    def padded(self, rows: np.ndarray, width: int) -> tuple[Tensor, Tensor]:
        """(B, T) items and amounts of some rows."""
        place = self.starts[rows][:, None] + np.arange(width)
        filled = place < self.starts[rows + 1][:, None]
        place = np.where(filled, place, 0) if len(self.items) else place[:, :0]
        items, amounts = self.items[place], np.where(filled[:, : place.shape[1]], self.amounts[place], 0)
        return torch.from_numpy(items.astype(np.int64)), torch.from_numpy(amounts.astype(np.float32))


def sweep(own: Tensor, other: Tensor, spans: Spans, *, unobserved: float, penalty: Tensor, block: int, steps: int = 0) -> None:
    """Improve every row of `own` (N, F) for fixed `other` (M, F), in place; `penalty` (N,).

    By so many steps of conjugate gradients; without, by blocks of dimensions, of which one of all F is the least squares themselves.
    """
    gram = unobserved * (other.T @ other)
    for rows, items, amounts in spans.chunks(own.shape[1], least=8 if steps else own.shape[1]):
        index = torch.from_numpy(rows)
        taken = other[items]  # (B, T, F)
        if steps:
            own[index] = conjugate(own[index], taken, amounts, gram, penalty[index], steps)
        elif block >= own.shape[1]:
            own[index] = solved(taken, amounts, gram, penalty[index])
        else:
            own[index] = stepped(own[index], taken, amounts, gram, penalty[index], block)


def solved(taken: Tensor, amounts: Tensor, gram: Tensor, penalty: Tensor) -> Tensor:
    """(B, F) the minimum: (Σ a h hᵀ + gram + λ I)⁻¹ Σ a h."""
    weighted = taken * amounts[..., None]
    matrix = torch.baddbmm(gram.expand(len(taken), -1, -1), taken.mT, weighted)
    matrix.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
    return torch.cholesky_solve(weighted.sum(1)[..., None], torch.linalg.cholesky(matrix))[..., 0]


def conjugate(own: Tensor, taken: Tensor, amounts: Tensor, gram: Tensor, penalty: Tensor, steps: int) -> Tensor:
    """(B, F) after some steps from where they stand (Takács, Pilászy and Tikk 2011): time grows with F, not with its square."""

    def applied(x: Tensor) -> Tensor:
        met = torch.bmm(taken, x[..., None])[..., 0] * amounts
        return torch.bmm(met[:, None], taken)[:, 0] + x @ gram + penalty[:, None] * x

    own, rest = own.clone(), torch.bmm(amounts[:, None], taken)[:, 0] - applied(own)
    way, length = rest.clone(), rest.square().sum(1, keepdim=True)
    for _ in range(steps):
        turned = applied(way)
        far = length / (way * turned).sum(1, keepdim=True).clamp(min=1e-20)
        own += far * way
        rest -= far * turned
        before, length = length, rest.square().sum(1, keepdim=True)
        way = rest + length / before.clamp(min=1e-20) * way
    return own


def stepped(own: Tensor, taken: Tensor, amounts: Tensor, gram: Tensor, penalty: Tensor, block: int) -> Tensor:
    """(B, F) one Newton step in each block of dimensions, which is its minimum while the others stand."""
    own = own.clone()
    error = (torch.bmm(taken, own[..., None])[..., 0] - 1) * amounts  # (B, T)
    for start in range(0, own.shape[1], block):
        part = slice(start, start + block)
        few = taken[..., part]  # (B, T, D)
        slope = torch.bmm(few.mT, error[..., None])[..., 0] + own @ gram[:, part] + penalty[:, None] * own[:, part]
        matrix = torch.baddbmm(gram[part, part].expand(len(few), -1, -1), few.mT, few * amounts[..., None])
        matrix.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
        step = torch.cholesky_solve(slope[..., None], torch.linalg.cholesky(matrix))[..., 0]
        own[:, part] -= step
        error -= torch.bmm(few, step[..., None])[..., 0] * amounts
    return own


def frequency(lengths: np.ndarray, others: int, unobserved: float, exponent: float) -> Tensor:
    """(N,) (taken + α₀ M)^ν: what the penalty of a row is multiplied by (section 4.1 of the first paper)."""
    return torch.from_numpy((lengths + unobserved * others) ** exponent).float()


def factorise(
    users: Spans,
    items: Spans,
    *,
    factors: int,
    sweeps: int,
    unobserved: float,
    penalty: float,
    exponent: float,
    block: int,
    scale: float,
    steps: int = 0,
) -> Iterator[tuple[float, Tensor]]:
    """Progress and the items' factors (I, F) after each sweep; the first weights from torch's generator."""
    count = len(users.lengths), len(items.lengths)
    left, right = (torch.randn(n, factors) * (scale / factors**0.5) for n in count)
    weigh = [
        penalty * frequency(users.lengths, count[1], unobserved, exponent),
        penalty * frequency(items.lengths, count[0], unobserved, exponent),
    ]
    for number in range(sweeps):
        sweep(left, right, users, unobserved=unobserved, penalty=weigh[0], block=block, steps=steps)
        sweep(right, left, items, unobserved=unobserved, penalty=weigh[1], block=block, steps=steps)
        yield (number + 1) / sweeps, right


def fold_in(batch: Spans, right: Tensor, *, unobserved: float, penalty: float, exponent: float) -> Tensor:
    """(B, F) factors of users from their histories alone, as the last sweep would have them."""
    left = right.new_zeros(len(batch.lengths), right.shape[1])
    weights = penalty * frequency(batch.lengths, len(right), unobserved, exponent).to(right)
    sweep(left, right, batch, unobserved=unobserved, penalty=weights, block=right.shape[1])
    return left


def standard(scores: Tensor) -> Tensor:
    """(B, I) with mean 0 and spread 1 in every row."""
    centred = scores - scores.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
