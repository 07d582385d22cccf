"""Nets that are solved instead of stepped: closed forms, trees, counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from luban.capabilities import Remembers, Weighs
from luban.columns import Columns
from luban.draw import Draw, key_of, sampled
from luban.errors import warn
from luban.mapped import release
from luban.messages import tr
from luban.training import checkpoints

BATCH = 2048
FEWEST_ROWS, MOST_ROWS = 1000, 2**62  # that a net is solved with, whatever the room
FEW = 64  # rows that tell what one weighs
WORK = 40  # bytes a model works with, for each byte of a batch
BATCH_SHARE, SOLVE_SHARE = 1 / 8, 0.6  # of the room


class Passes:
    """Batches of training examples in evaluation mode, as often as a solver likes."""

    seconds = math.inf  # that a budget leaves to the solver

    def __init__(self, task: Any, examples: Columns, seed: int, rows: np.ndarray | None = None, batch_size: int = BATCH) -> None:
        self.task, self.examples, self.seed, self.batch_size = task, examples, seed, batch_size
        self.rows = rows  # None: all

    def __iter__(self) -> Iterator[Any]:
        count = len(self.examples) if self.rows is None else len(self.rows)
        for start in range(0, count, self.batch_size):
            places = np.arange(start, min(start + self.batch_size, count))
            yield self.batch(places if self.rows is None else self.rows[places])

    def batch(self, rows: np.ndarray) -> Any:
        """Some rows."""
        return self.task.collate(self.examples.take(rows), Draw(self.seed, 0, rows, training=False))


def solve(
    task: Any,
    net: nn.Module,
    examples: Columns,
    *,
    seed: int,
    folder: Path | None,
    tell: Callable[..., None],
    check: Callable[[], None] = lambda: None,
    room: float = math.inf,
    left_s: float = math.inf,
) -> tuple[float, int]:
    """Solve, or put back what was solved before: the seconds it took, and the rows it learnt from. `check` may raise where a solver pauses;
    `left_s` is told to solvers that can do with less.
    """
    found = checkpoints.load(folder) if folder else None
    if found is not None:
        net.load_state_dict(found[0])
        return float(found[1]["seconds"]), int(found[1]["rows"])
    begun = time.monotonic()
    passes = affordable(task, net, examples, seed, room)
    passes.seconds = left_s
    rows = len(examples) if passes.rows is None else len(passes.rows)
    if isinstance(task, Remembers):
        task.remember(net, examples)
    with torch.no_grad():
        for share in net.solve(passes):  # type: ignore[operator,union-attr]
            tell("solve", share=share)
            check()
    seconds = time.monotonic() - begun
    if folder:
        checkpoints.save(folder, 1, dict(net.state_dict()), {"seconds": seconds, "rows": rows})
    return seconds, rows


def affordable(task: Any, net: nn.Module, examples: Columns, seed: int, room: float) -> Passes:
    """All rows where the room holds what the net makes of them, else a keyed, uniform sample; batches that it holds too."""
    few = np.arange(min(FEW, len(examples)))
    first = Passes(task, examples, seed).batch(few)
    longest = 1.0
    if examples.size is not None:
        longest = max(1.0, float(examples.size.max()) / max(1.0, float(examples.size[few].max())))
        release(examples.size)
    weight = WORK * longest * max(1.0, tensor_bytes(first) / len(few))
    batch_size = int(max(FEW, min(BATCH, room * BATCH_SHARE / weight)))
    most, _ = most_rows(task, net, examples, seed, room)
    if most >= len(examples):
        return Passes(task, examples, seed, batch_size=batch_size)
    rows = sampled(len(examples), most / len(examples), key_of(seed, "solve"))
    name = type(net).__name__.lower()
    what = tr(
        "{model} learns from {rows} of {of} rows: more do not fit in the memory allowed", model=name, rows=len(rows), of=len(examples)
    )
    warn("W215", what, where="training.memory", fix=tr("allow more memory for a stronger baseline"))
    return Passes(task, examples, seed, rows, batch_size)


def most_rows(task: Any, net: nn.Module, examples: Columns, seed: int, room: float) -> tuple[int, float]:
    """How many rows the room holds while the net is solved with them, and the bytes of each more, about."""
    if not isinstance(net, Weighs):
        return MOST_ROWS, math.inf
    fixed, each = net.weigh(Passes(task, examples, seed).batch(spread(len(examples))))
    return int(min(MOST_ROWS, max(FEWEST_ROWS, (SOLVE_SHARE * room - fixed) / max(1.0, each)))), each


def spread(count: int) -> np.ndarray:
    """A few hundred rows from everywhere."""
    return np.arange(0, count, max(1, count // (4 * FEW)))


def tensor_bytes(batch: Any) -> int:
    """Bytes of all tensors of a batch."""
    if isinstance(batch, torch.Tensor):
        return batch.nbytes
    parts = batch.values() if isinstance(batch, dict) else vars(batch).values() if hasattr(batch, "__dict__") else ()
    return sum(tensor_bytes(part) for part in parts)
