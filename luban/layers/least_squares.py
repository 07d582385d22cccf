"""Alternating least squares over what was taken and, weakly, over all pairs.

Rendle et al. 2021, "Revisiting the performance of iALS on item recommendation benchmarks" (the objective, its regularisation by frequency), and
Rendle et al. 2021, "iALS++: speeding up matrix factorization with subspace optimization" (the blocks). N rows solved, M others, F factors,
B rows at once, E pairs at once, T the longest of the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CELLS = 1 << 19  # of gathered factors held at once: 2 MB, what a cache holds
TINY = 1e-30
PAIRS, ROWS = 1 << 16, 4096  # stepped together: few enough for a cache, enough to pay for the calls
FAR = 1 << 27  # bytes of factors that no cache holds: those of a piece are fetched once, and gone through in order


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

    def pieces(self) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """(rows, (B + 1,) starts, (E,) items, (E,) amounts): rows as they stand, as many as allowed."""
        begin, count = 0, len(self.starts) - 1
        while begin < count:
            full = int(np.searchsorted(self.starts, self.starts[begin] + PAIRS, side="right")) - 1
            end = min(max(full, begin + 1), begin + ROWS, count)
            part = slice(int(self.starts[begin]), int(self.starts[end]))
            starts, items = self.starts[begin : end + 1] - part.start, self.items[part].astype(np.int64)
            yield (
                slice(begin, end),
                torch.from_numpy(starts),
                torch.from_numpy(items),
                torch.from_numpy(self.amounts[part].astype(np.float32)),
            )
            begin = end

    def padded(self, rows: np.ndarray, width: int) -> tuple[Tensor, Tensor]:
        """(B, T) items and amounts of some rows."""
        place = self.starts[rows][:, None] + np.arange(width)
        filled = place < self.starts[rows + 1][:, None]
        place = np.where(filled, place, 0) if len(self.items) else place[:, :0]
        items, amounts = self.items[place], np.where(filled[:, : place.shape[1]], self.amounts[place], 0)
        return torch.from_numpy(items.astype(np.int64)), torch.from_numpy(amounts.astype(np.float32))


def both_sides(users: Any) -> tuple[Spans, Spans]:
    """A sparse matrix (U, I) by its users, and by its items."""
    by_user, by_item = (Spans(part.indptr.astype(np.int64), part.indices, part.data) for part in (users, users.tocsc()))
    return by_user, by_item


def sweep(own: Tensor, other: Tensor, spans: Spans, *, unobserved: float, penalty: Tensor, block: int) -> None:
    """Improve every row of `own` (N, F) for fixed `other` (M, F), in place, by blocks of dimensions; one of all F is the least squares; `penalty` (N,)."""
    gram = unobserved * (other.T @ other)
    for rows, items, amounts in spans.chunks(own.shape[1], least=own.shape[1]):
        index = torch.from_numpy(rows)
        taken = other.index_select(0, items.flatten()).view(*items.shape, -1)  # (B, T, F); whole rows, sooner than other[items]
        if block >= own.shape[1]:
            own[index] = solved(taken, amounts, gram, penalty[index])
        else:
            own[index] = stepped(own[index], taken, amounts, gram, penalty[index], block)


def solved(taken: Tensor, amounts: Tensor, gram: Tensor, penalty: Tensor) -> Tensor:
    """(B, F) the minimum: (Σ a h hᵀ + gram + λ I)⁻¹ Σ a h."""
    weighted = taken * amounts[..., None]
    matrix = torch.baddbmm(gram.expand(len(taken), -1, -1), taken.mT, weighted)
    matrix.diagonal(dim1=1, dim2=2).add_(penalty[:, None])
    return torch.cholesky_solve(weighted.sum(1)[..., None], torch.linalg.cholesky(matrix))[..., 0]


def approach(own: Tensor, other: Tensor, spans: Spans, usual: Tensor, *, unobserved: float, penalty: Tensor, steps: int) -> None:
    """Improve every row of `own` (N, F) in place by conjugate gradients from where it stands; `usual` (F, F) is about what its pairs and penalty add.

    Takács, Pilászy and Tikk 2011, "Applications of the conjugate gradient method for implicit feedback collaborative filtering": time grows with
    the pairs times F, memory with neither. Preconditioned, so that fewer steps lead as far.
    """
    gram = unobserved * (other.T @ other)
    nearly = torch.linalg.inv((gram + usual).double()).to(other)
    desk = other.new_empty(PAIRS if other.nbytes > FAR else 0, other.shape[1])
    for rows, starts, items, amounts in spans.pieces():
        table, places = at_hand(other, items, desk)
        equations = Equations(table, starts, places, amounts, penalty[rows, None], gram, nearly)
        rest = equations.right() - equations.applied(own[rows])
        conjugate(own[rows], rest, equations, steps=steps)


def at_hand(other: Tensor, items: Tensor, desk: Tensor) -> tuple[Tensor, Tensor]:
    """(a table, the place of each of (E,) items in it): their rows in order, where the desk has room for them, else all as they are."""
    if len(items) > len(desk):
        return other, items
    return torch.index_select(other, 0, items, out=desk[: len(items)]), torch.arange(len(items))


@dataclass(frozen=True)
class Equations:
    """(Σ a h hᵀ + gram + diag(λ)) x = Σ a h of some rows; their matrices are never formed."""

    other: Tensor  # (M, F)
    starts: Tensor  # (B + 1,) int64
    items: Tensor  # (E,) int64
    amounts: Tensor  # (E,)
    penalty: Tensor  # (B, 1), or (B, F) with the gram's diagonal
    gram: Tensor | None = None  # (F, F); None = nothing but its diagonal
    inverse: Tensor | None = None  # (F, F) about that of each row's matrix; None = that of the diagonal

    @cached_property
    def pattern(self) -> Tensor:
        """(B, M) which pairs there are, as torch's own sparse matrix."""
        shape = len(self.starts) - 1, len(self.other)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")  # said once, of a format that may change
            return torch.sparse_csr_tensor(self.starts, self.items, torch.zeros_like(self.amounts), size=shape, check_invariants=False)

    def gathered(self, weights: Tensor) -> Tensor:
        """(B, F) Σ w h of (E,) weights."""
        settings = {"mode": "sum", "per_sample_weights": weights, "include_last_offset": True}
        return functional.embedding_bag(self.items, self.other, self.starts, **settings)

    def right(self) -> Tensor:
        """(B, F) the right side."""
        return self.gathered(self.amounts)

    def applied(self, x: Tensor) -> Tensor:
        """(B, F) the left side."""
        met = torch.sparse.sampled_addmm(self.pattern, x, self.other.T, beta=0.0, out=self.pattern).values()  # (E,), without a new matrix
        out = self.gathered(met.mul_(self.amounts)).addcmul_(self.penalty, x)
        return out if self.gram is None else out.addmm_(x, self.gram)

    def nearly(self, rest: Tensor) -> Tensor:
        """(B, F) about the step that leaves nothing of the rest."""
        return rest / self.penalty if self.inverse is None else rest @ self.inverse


def conjugate(own: Tensor, rest: Tensor, equations: Equations, *, steps: int, close: float = 0.0) -> None:
    """Move `own` (B, F) in place towards the solution, from where it lacks `rest` of the right side; until that is `close` to nothing."""
    way = near = equations.nearly(rest)
    length = (rest * near).sum(1, keepdim=True)
    enough = close**2 * length
    for _ in range(steps):
        turned = equations.applied(way)
        far = length / (way * turned).sum(1, keepdim=True).clamp(min=TINY)
        own.addcmul_(far, way)
        rest.addcmul_(far, turned, value=-1)
        near = equations.nearly(rest)
        before, length = length, (rest * near).sum(1, keepdim=True)
        if close and bool((length <= enough).all()):
            return
        way = torch.addcmul(near, length / before.clamp(min=TINY), way)


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
    left, right = (begun(n, factors, scale / factors**0.5) for n in count)
    weigh = [
        penalty * frequency(users.lengths, count[1], unobserved, exponent),
        penalty * frequency(items.lengths, count[0], unobserved, exponent),
    ]
    for number in range(sweeps):
        for own, other, spans, often, damping in ((left, right, users, items, weigh[0]), (right, left, items, users, weigh[1])):
            if steps:
                usual = average(other, often, spans, damping)
                approach(own, other, spans, usual, unobserved=unobserved, penalty=damping, steps=steps)
            else:
                sweep(own, other, spans, unobserved=unobserved, penalty=damping, block=block)
        yield (number + 1) / sweeps, right


def begun(count: int, factors: int, scale: float) -> Tensor:
    """(count, factors) first weights, in numpy's memory: large arrays of it lie in large pages, which rows far apart are found in sooner."""
    return torch.from_numpy(np.empty((count, factors), np.float32)).normal_().mul_(scale)


def average(other: Tensor, often: Spans, spans: Spans, penalty: Tensor) -> Tensor:
    """(F, F) what the pairs and the penalty of a row add to its matrix, in the mean over the rows; `often` are the same pairs by the others."""
    amount = float(spans.amounts.mean()) if len(spans.amounts) else 0.0
    weight = torch.from_numpy((often.lengths * (amount / max(1, len(penalty)))).astype(np.float32))
    return torch.addmm(torch.eye(other.shape[1]) * penalty.mean(), other.T * weight, other)


def standard(scores: Tensor) -> Tensor:
    """(B, I) with mean 0 and spread 1 in every row."""
    centred = scores - scores.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
