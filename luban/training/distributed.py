"""Ranks under torchrun: each takes its share of every step's rows; gradients are summed by the engine itself.

No wrapper class reaches a task: composable `replicate` is silently wrong where a loss bypasses `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


def world() -> tuple[int, int]:
    """(rank, number of ranks); (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share(rows: np.ndarray, micro_batches: int) -> list[np.ndarray]:
    """This rank's micro-batches of a step's rows; none is empty unless the step is."""
    rank, ranks = world()
    parts = [rows[rank * micro_batches + m :: ranks * micro_batches] for m in range(micro_batches)]
    return [part for part in parts if len(part)] or [rows[:0]]


def sum_over_ranks(parameters: Sequence[Tensor], sums: Tensor) -> Tensor:
    """Add up gradients in place, and the sums that come with them, in one message."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients] + [sums.to(gradients[0])])
    dist.all_reduce(flat)
    for parameter, piece in zip(parameters, flat[: -len(sums)].split([p.numel() for p in parameters]), strict=True):
        parameter.grad = piece.view_as(parameter)
    return flat[-len(sums) :].to(sums)


def gather(values: list[Tensor]) -> list[Tensor]:
    """Every rank's tensors, in the order of ranks."""
    if world()[1] == 1:
        return values
    everyone: list[list[Tensor]] = [[] for _ in range(world()[1])]
    dist.all_gather_object(everyone, values)
    return [value for rank in everyone for value in rank]
