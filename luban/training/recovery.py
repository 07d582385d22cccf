"""When a step fails: what is not finite is skipped, rolled back once, then ends the run; what does not fit is cut smaller."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from luban.errors import TrainingError, is_out_of_memory, warn
from luban.memory import give_back
from luban.messages import tr
from luban.training.diagnosis import diagnose
from luban.training.distributed import world
from luban.training.step import NotFinite
from luban.training.weights import clone

if TYPE_CHECKING:
    from luban.training.loop import Trainer

T = TypeVar("T")
SKIPS = 3  # in a row
SLOWER = 0.5  # learning rate after weights were rolled back


def fitting(trainer: Trainer, work: Callable[[], T]) -> T:
    """What the work gives, once the micro-batches fit into memory. Raises TrainingError L302 where one example does not."""
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            reason = memory(error)
        halve(trainer, reason)  # outside, where what failed is no longer held


def memory(error: Exception) -> str:
    """What was said when memory ran out; raises the error again where it is another."""
    if not is_out_of_memory(error):
        raise error
    return (str(error).splitlines() or [type(error).__name__])[0][:120]  # a bare MemoryError says nothing


def halve(trainer: Trainer, reason: str) -> None:
    """Cut each micro-batch in two; the step keeps its examples, its counts and so its gradient."""
    progress, asked, rows = trainer.progress, trainer.settings.accumulation, trainer.batch_size
    size = -(-rows // (asked * progress.cuts))
    if trainer.examples is None or size <= 1 or world()[1] > 1:
        fix = tr("choose a smaller model, lower training.batch_size, or raise training.accumulation")
        raise TrainingError("L302", tr("out of memory: {why}", why=reason), where="training", fix=fix)
    for parameter in trainer.net.parameters():
        parameter.grad = None
    gc.collect()
    give_back()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    progress.cuts *= 2
    trainer.stepper.pieces = asked * progress.cuts
    size = -(-rows // trainer.stepper.pieces)
    what = tr(
        "out of memory at step {step}: micro-batches hold {size} examples from here on, the step still {rows}",
        step=progress.step + 1,
        size=size,
        rows=rows,
    )
    warn("W342", what, where="training", fix=tr("training.accumulation = {n} begins so", n=trainer.stepper.pieces))
    trainer.log.add(step=progress.step + 1, micro_batch=size)


def skip(trainer: Trainer, error: NotFinite, rows: np.ndarray, epoch: int) -> None:
    """Leave the step out, with its rows named. The fourth in a row goes back to the best weights; after that, raises TrainingError L301."""
    progress = trainer.progress
    found = diagnose(trainer, rows, epoch)
    what = tr("step {step}: the loss is {loss}; caught before the update. {found}", step=progress.step + 1, loss=error.loss, found=found)
    fix = tr("lower training.learning_rate, scale the inputs, or set training.clip_norm")
    if progress.skipped >= SKIPS:
        if progress.rolled_back:
            raise TrainingError("L301", what, where="training", fix=fix) from error
        roll_back(trainer)
        return
    progress.skipped += 1
    trainer.log.add(step=progress.step + 1, epoch=epoch, skipped=str(error.loss))
    warn("W340", what, where="training", fix=tr("the step is left out; {n} more in a row are", n=SKIPS - progress.skipped))


def roll_back(trainer: Trainer) -> None:
    """Back to the best weights, or to the first ones; the optimizer begins anew at half the learning rate.

    Not to the newest checkpoint: when that was written depends on a clock, and the same run must have the same bits.
    """
    progress = trainer.progress
    weights = trainer.best or trainer.fresh().state_dict()
    trainer.net.load_state_dict(weights)
    trainer.average = clone(weights) if trainer.average else {}
    trainer.stepper.optimizers.clear()
    progress.skipped, progress.rolled_back = 0, True
    trainer.log.add(step=progress.step + 1, rolled_back=progress.best_step)
    what = tr("more than {n} steps in a row were not finite: back to the weights of step {step}", n=SKIPS, step=progress.best_step)
    warn("W341", what, where="training", fix=tr("the learning rate is halved from here on"))


def rate_of(progress: Any) -> float:
    """Of the schedule's learning rate, what is left after a roll-back."""
    return SLOWER if progress.rolled_back else 1.0
