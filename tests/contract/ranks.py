"""What one of several processes computes; a file of its own, so that a spawned process can import it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from cases import STEPPED, flat, gradients, ready
from torch import Tensor

from luban.training.distributed import group, world
from luban.training.loop import Trainer


def work(rank: int, count: int, names: tuple[str, ...], folder: str) -> None:
    """This rank's gradient and weights of each case, into files."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(Path(folder) / "store"), count)
    with group("gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=100)):
        for name in names:
            torch.save(results(name, micro=1, accumulation=2), Path(folder) / f"{name}-{rank}.pt")


def alone(name: str) -> dict[str, Tensor]:
    """The same by one process that cuts each step into as many parts."""
    return results(name, micro=2, accumulation=4)


def results(name: str, *, micro: int, accumulation: int) -> dict[str, Tensor]:
    """Gradients in evaluation mode, also of a step with fewer rows than parts; weights after steps with dropout."""
    made = ready(STEPPED[name])
    trainer = Trainer(made.task, made.examples[0], made.case.training(accumulation=accumulation, steps=3, ema=0.0, optimizer="sgd"))
    score = iter([0.0] * 99 if world()[0] == 0 else np.arange(99.0))  # the second rank alone would go on
    early = Trainer(
        made.task, made.examples[0], made.case.training(steps=9, validations=9, patience=2), validate=lambda net: next(score)
    ).run()
    return {
        "stopped": torch.tensor([float(early.progress.step)]),
        "gradient": gradients(made, np.arange(13), micro),
        "few": gradients(made, np.arange(3), 2 * micro),
        "weights": flat(trainer.run().net),
    }
