"""Two towers from what least squares found: items as they are named, and as they speak in a history, so that a sum over a history stands for its user.

A user's factors are (Σ h hᵀ + α₀ YᵀY + λ I)⁻¹ Σ h over the history (Rendle et al. 2021, the files least_squares and folding). With the matrix of the mean
user in place of each one's own, every item says its part alone. U users, I items, F factors, K neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.layers.least_squares import average, both_sides, factorise, frequency
from luban.layers.nearest import nearest_to

SWEEPS, UNOBSERVED, PENALTY, EXPONENT = 8, 0.3, 0.3, 0.5  # those of ials
SAMPLE = 1024  # users by whom the spread of scores is judged
LENDERS, BORROWERS = 65_536, 16_384  # items whose vectors are lent; items with a history whose neighbours are looked for


def towers(users: Any, *, factors: int, spread: float) -> tuple[Tensor, Tensor]:
    """(I, F) named and spoken of (U, I) what was taken: histories summed and divided by the root of their length give scores that differ by `spread` over the items."""
    spans = both_sides(users)
    weights = {"unobserved": UNOBSERVED, "penalty": PENALTY, "exponent": EXPONENT}
    named = torch.zeros(users.shape[1], factors)
    for _, found in factorise(*spans, factors=factors, sweeps=SWEEPS, block=factors, steps=2, scale=0.1, **weights):
        named = found
    penalty = PENALTY * frequency(spans[0].lengths, users.shape[1], UNOBSERVED, EXPONENT)
    usual = UNOBSERVED * (named.T @ named) + average(named, spans[1], spans[0], penalty)
    spoken = torch.linalg.solve(usual.double(), named.T.double()).T.float()
    factor = spread / max(spread_of(users, named, spoken), 1e-12)
    even = (factor * spoken.norm() / named.norm().clamp(min=1e-12)) ** 0.5  # the same length on both sides
    return named * even, spoken * (factor / even.clamp(min=1e-12))


def spread_of(users: Any, named: Tensor, spoken: Tensor) -> float:
    """The standard deviation of a user's scores over the items, in the mean over some users."""
    some = users[:: max(1, users.shape[0] // SAMPLE)]
    root = np.sqrt(np.maximum(1, np.diff(some.indptr)))
    asked = torch.from_numpy(((some @ spoken.numpy()) / root[:, None]).astype(np.float32))
    apart = named - named.mean(0)
    return float(((asked @ (apart.T @ apart / max(1, len(named)))) * asked).sum(1).clamp(min=0).sqrt().mean())


def lending(told: Any, counts: np.ndarray, neighbours: int) -> tuple[Tensor, Tensor]:
    """(I, K) int32 items described alike that have a history, and their shares (I, K), which sum to 1, or to 0 where there are none.

    Of (I, features) descriptions and (I,) how often each was taken. Those that nobody took borrow, and some of those that were, as if nobody had.
    """
    count = len(counts)
    near, share = np.zeros((count, neighbours), np.int32), np.zeros((count, neighbours), np.float32)
    lenders = np.argsort(-counts, kind="stable")[: min(LENDERS, int((counts > 0).sum()))]
    ask = np.r_[lenders[:: max(1, -(-len(lenders) // BORROWERS))], np.flatnonzero(counts == 0)]
    if len(lenders):
        found, of_each = lent(told, ask, lenders, neighbours)
        near[ask, : found.shape[1]], share[ask, : found.shape[1]] = found, of_each
    return torch.from_numpy(near), torch.from_numpy(share)


def lent(told: Any, ask: np.ndarray, lenders: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) which of some items are described most like each of the asked (n,), none like itself, and the share (n, K) of each by its likeness."""
    place = np.full(told.shape[0], -1)
    place[lenders] = np.arange(len(lenders))
    found, likeness = nearest_to(told[ask], told[lenders], neighbours, 0.0, own=place[ask])
    return lenders[found], likeness / np.maximum(likeness.sum(1, keepdims=True), 1e-12)
