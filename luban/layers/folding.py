"""Users' factors from their histories alone, for items that stand: what alternating least squares would give them.

B users, I items, F factors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from luban.layers.least_squares import Equations, Spans, conjugate, frequency

CLOSE = 3e-6  # of what a row lacked at first, where folding in ends: a fifth of what ranking tells apart
MOST = 200  # steps that it takes
STRAIGHT = 2e-6  # of the lengths of two axes, below which their product counts as rounding
GROUNDS = WeakTensorKeyDictionary()  # items -> what they were when they were worked out, and what was
TURNED = 1 << 16  # items turned at once


def fold_in(batch: Spans, right: Tensor, *, unobserved: float, penalty: float, exponent: float) -> Tensor:
    """(B, F) factors of users from their histories alone: the minimum for these items.

    Along the items' principal axes all pairs that never met add to a diagonal alone: no product of matrices is left in a step.
    """
    other, level, axes = ground(right)
    weights = penalty * frequency(batch.lengths, len(other), unobserved, exponent)
    left = other.new_zeros(len(batch.lengths), other.shape[1])
    for rows, starts, items, amounts in batch.pieces():
        equations = Equations(other, starts, items, amounts, weights[rows, None] + unobserved * level)
        conjugate(left[rows], equations.right(), equations, steps=MOST, close=CLOSE)
    return (left if axes is None else left @ axes.T).to(right)


def ground(right: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Items (I, F) along their principal axes, the diagonal (F,) of their Gram matrix, and the axes where they had to be turned; kept while they stand."""
    if right.requires_grad or right.is_inference():  # whose changes nobody counts: a fused optimizer's, and those within inference
        return grounded(right)
    key = right._version, right.data_ptr(), right.dtype
    if right not in GROUNDS or GROUNDS[right][0] != key:
        GROUNDS[right] = key, grounded(right)
    return GROUNDS[right][1]


def grounded(right: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same, worked out."""
    with torch.inference_mode(mode=False), torch.no_grad():  # what is kept outlives the mode it is made in
        other, axes = right.detach().to("cpu", torch.float32), None
        gram = other.T @ other
        if slanted(gram):
            other, axes = upright(other)
            gram = other.T @ other
        return other, gram.diagonal().contiguous(), axes


def upright(item: Tensor) -> tuple[Tensor, Tensor]:
    """(I, F) the items along their principal axes, and those (F, F): every product of two vectors stays, the Gram matrix becomes a diagonal."""
    parts = item.split(TURNED)
    axes = torch.linalg.eigh(sum(part.double().T @ part.double() for part in parts)).eigenvectors
    return torch.cat([(part.double() @ axes).to(item) for part in parts]), axes.to(item)


def slanted(gram: Tensor) -> bool:
    """Whether two axes have more in common than rounding leaves."""
    size = gram.diagonal().sqrt()
    return bool(((gram - gram.diagonal().diag()).abs() > STRAIGHT * size[:, None] * size).any())
