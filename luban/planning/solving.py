"""Seconds that solving a model takes: on growing parts of the training rows, carried on to all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from luban import memory
from luban.capabilities import GoesInRounds, Represents
from luban.columns import Columns
from luban.planning.growth import Growth, grow
from luban.planning.rounds import grow_in_rounds
from luban.training.settings import Training
from luban.training.solving import most_rows, solve

FIRST_ROWS = 200
RUNS = 16  # of rows that follow each other, where they lie on the disk


def solving(
    task: Any, examples: Columns, settings: Training, *, patience: float, scale: float = 1.0, rough: bool = False
) -> tuple[Growth, Any]:
    """What solving a model takes, and the net of the largest part that was solved wholly; `scale` is the rows of the run over those at hand;
    `rough`: rounds are not told apart, which takes longer than `patience`."""
    nets, seed = list[Any](), settings.seed

    def work(size: int, rounds: int | None = None) -> float:
        net = task.build()
        if rounds is None or not nets:
            nets[:] = [net]
        prepared_for(net, total / size, rounds)
        torch.manual_seed(seed)
        solve(task, net, spread(examples, size), seed=seed, folder=None, tell=lambda *_, **__: None, check=lambda: None)
        return getattr(net, "rounds_taken", 1.0)

    fresh = task.build()
    rows, each = most_rows(task, fresh, examples, seed, memory.room(settings.memory))
    total, most = min(rows, round(len(examples) * scale)), min(rows, len(examples))
    in_rounds = isinstance(fresh, GoesInRounds)
    if in_rounds and not rough:
        growth = grow_in_rounds(work, total, foreseen=fresh.rounds, most=most, patience=patience, each=each)
    else:  # rounds that few rows take are as many as all rows take, or more
        affine = in_rounds or isinstance(examples.row, np.memmap)
        growth = grow(work, total, most=most, start=FIRST_ROWS, patience=patience, each=each, affine=affine)
    return growth, nets[0]


def prepared_for(net: Any, stands_for: float, rounds: int | None) -> None:
    """Solve as one does of whom each row stands for so many, in no more rounds than these."""
    if isinstance(net, Represents):
        net.stands_for = stands_for
    elif isinstance(net, GoesInRounds) and rounds is not None:
        net.most_rounds = rounds


def spread(examples: Columns, size: int) -> Columns:
    """So many examples, evenly from all."""
    if size >= len(examples):
        return examples
    if not isinstance(examples.row, np.memmap):
        return examples.take(np.linspace(0, len(examples) - 1, size).round().astype(int))
    runs = min(size, RUNS)  # rows on the disk are read in their order, as the run will read them
    lengths = np.diff(np.linspace(0, size, runs + 1).round().astype(int))
    starts = np.linspace(0, len(examples) - lengths.max(), runs).astype(int)
    rows = np.unique(np.concatenate([start + np.arange(length) for start, length in zip(starts, lengths, strict=True)]))
    return examples.take(rows)
