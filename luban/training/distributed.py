"""Ranks under torchrun: each takes its share of every step's rows; gradients are summed by the engine itself.

No wrapper class reaches a task: composable `replicate` is silently wrong where a loss bypasses `forward`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from luban.errors import TrainingError, logger
from luban.messages import tr

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # the first rank may prepare for hours; a rank that dies is noticed at once


def asked() -> tuple[int, int, int]:
    """(rank, number of ranks, rank on this machine) as torchrun has them; (0, 1, 0) alone."""
    rank, ranks, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    return (rank, ranks, local) if ranks > 1 else (0, 1, 0)


@contextmanager
def joined() -> Iterator[None]:
    """Under torchrun, one of its ranks; alone, nothing. Only the first speaks. Raises TrainingError L340 where another rank died."""
    rank, ranks, local = asked()
    if ranks == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    level = logger.level
    if rank:
        logger.setLevel(logging.CRITICAL)
    try:
        with group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE):
            yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        fix = tr("run the same command again, with as many ranks as you like: it goes on from the last checkpoint")
        raise TrainingError("L340", tr("another rank ended: {why}", why=str(error)[-100:]), where=f"rank {rank}", fix=fix) from error
    finally:
        logger.setLevel(level)


@contextmanager
def group(backend: str, **options: Any) -> Iterator[None]:
    """The process group, gone with its threads afterwards: one that outlives it may abort a process that ends well."""
    # its functions have the group as a default: loaded only later, with the first optimizer, they would hold it for ever
    import torch.distributed.nn.functional  # noqa: F401  # pyright: ignore[reportUnusedImport]

    dist.init_process_group(backend, **options)
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this rank writes and speaks; known before the ranks join and after they part."""
    return (world()[0] if dist.is_initialized() else asked()[0]) == 0


def in_turn(work: Callable[[], T]) -> T:
    """The first rank, then the others, which find what it left on the disk."""
    if world()[1] == 1:
        return work()
    if not is_first():
        dist.barrier()
    done = work()
    if is_first():
        dist.barrier()
    return done


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
