"""Ranks under torchrun: each takes its share of every step's rows; gradients are summed by the engine itself.

No wrapper class reaches a task: composable `replicate` is silently wrong where a loss bypasses `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world() -> tuple[int, int]:
    """(rank, number of ranks); (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def agree(value: T) -> T:
    """The first rank's value: what a clock, a trial or a signal decides, all must decide alike."""
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def share(rows: np.ndarray, micro_batches: int) -> list[np.ndarray]:
    """This rank's micro-batches of a step's rows; none is empty unless the step is."""
    rank, ranks = world()
    parts = [rows[rank * micro_batches + m :: ranks * micro_batches] for m in range(micro_batches)]
    return [part for part in parts if len(part)] or [rows[:0]]


def sum_over_ranks(parameters: Sequence[Tensor], sums: Tensor) -> Tensor:
    """Add up gradients in place, and the sums that come with them, in one message; what no rank used has none, as alone."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    used = torch.tensor([p.grad is not None for p in parameters])
    flat = torch.cat([g.flatten() for g in gradients] + [used.to(gradients[0]), sums.to(gradients[0])])
    dist.all_reduce(flat)
    *pieces, found, sums_of_all = flat.split([*(p.numel() for p in parameters), len(parameters), len(sums)])
    for parameter, piece, any_rank in zip(parameters, pieces, found.tolist(), strict=True):
        parameter.grad = piece.view_as(parameter) if any_rank else None
    return sums_of_all.to(sums)


def gather(values: list[Tensor]) -> tuple[list[Tensor], int]:
    """Every rank's tensors, in the order of ranks, and where this rank's begin."""
    rank, ranks = world()
    if ranks == 1:
        return values, 0
    everyone: list[list[Tensor]] = [[] for _ in range(ranks)]
    dist.all_gather_object(everyone, values)
    return [value for theirs in everyone for value in theirs], sum(len(theirs) for theirs in everyone[:rank])
