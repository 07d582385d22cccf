"""Nets that are solved instead of stepped: closed forms, trees, counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from luban.columns import Columns
from luban.draw import Draw
from luban.training import checkpoints

BATCH = 2048


class Passes:
    """Batches of the training examples in evaluation mode, as often as a solver likes."""

    def __init__(self, task: Any, examples: Columns, seed: int) -> None:
        self.task, self.examples, self.seed = task, examples, seed

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.examples), BATCH):
            rows = np.arange(start, min(start + BATCH, len(self.examples)))
            yield self.task.collate(self.examples.take(rows), Draw(self.seed, 0, rows, training=False))


def solve(
    task: Any, net: nn.Module, examples: Columns, *, seed: int, folder: Path | None, tell: Callable[..., None], check: Callable[[], None]
) -> float:
    """Solve, or put back what was solved before; seconds it took. `check` may raise where a solver pauses."""
    found = checkpoints.load(folder) if folder else None
    if found is not None:
        net.load_state_dict(found[0])
        return float(found[1]["seconds"])
    begun = time.monotonic()
    with torch.no_grad():
        for share in net.solve(Passes(task, examples, seed)):  # type: ignore[operator,union-attr]
            tell("solve", share=share)
            check()
    seconds = time.monotonic() - begun
    if folder:
        checkpoints.save(folder, 1, dict(net.state_dict()), {"seconds": seconds})
    return seconds
