"""The loop: batches in, steps taken, validated, checkpointed. It names no task and no domain."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban import memory
from luban.capabilities import Remembers, Starts
from luban.columns import Columns
from luban.data.sampler import Position, Sampler
from luban.draw import Draw
from luban.errors import say
from luban.messages import tr
from luban.predicting import move
from luban.training import budget, checkpoints, compiling, device, optimizers, recovery
from luban.training.distributed import agree, in_turn, is_first, share, world
from luban.training.log import Log
from luban.training.progress import Progress
from luban.training.settings import Training
from luban.training.step import NotFinite, Stepper
from luban.training.weights import blend, clone, keep_frozen

BEST = "best"  # the folder beside the checkpoints
Validate = Callable[[nn.Module], float]  # the score that chooses, larger is better


@dataclass
class Trainer:
    """Trains one net of one task on one set of examples."""

    task: Any
    examples: Columns | None  # None: the task plays
    settings: Training
    folder: Path | None = None  # checkpoints and log; None = keep nothing
    validate: Validate | None = None
    purse: budget.Purse | None = None  # what the budget leaves for training from now on
    tell: Callable[..., None] = field(default=lambda *_, **__: None)
    interrupted: Callable[[], bool] = field(default=lambda: False)
    progress: Progress = field(default_factory=Progress)
    tried: tuple[str, str] | None = None  # precision and why, where it was tried already

    def __post_init__(self) -> None:
        self.device = device.choose_device(self.settings.device)
        self.net = self.fresh()
        self.rows = len(self.examples) if self.examples is not None else 1
        self.batch_size = budget.batch_size_of(self.settings, self.rows)
        self.stepper = Stepper(self.task, self.net, self.settings, self.rows)
        self.average = clone(self.net.state_dict()) if self.settings.ema else {}
        self.best: dict[str, Tensor] = {}
        self.precision, self.threads, self.compiled, self.why = "float32", self.settings.threads, False, ""
        self.log = Log(self.folder if is_first() else None)
        self.apart = (-math.inf, 0)  # score and step of the best weights in a file of their own

    def fresh(self) -> nn.Module:
        """The net as it begins."""
        torch.manual_seed(self.settings.seed)
        net = fresh(self.task)
        if isinstance(self.task, Remembers) and self.examples is not None:
            self.task.remember(net, self.examples)
        return net.to(self.device)

    def run(self, until: int | None = None) -> Trainer:
        """Train to the end, or to a step; resumes where a checkpoint stands."""
        resumed = in_turn(self.resume)
        if not self.progress.done:
            optimizers.load()
            self.net.train()
            keep_frozen(self.net)
            self.settle(resumed)
            with memory.kept(wanted=self.settings.memory is None):
                self.steps(until)
        return self

    def steps(self, until: int | None) -> None:
        """The loop itself."""
        progress, epochs = self.progress, budget.epochs_of(self.settings, self.rows, suggested_epochs(self.net))
        clock = budget.Budget(self.settings, epochs, self.purse, progress.spent, progress.spent_s)
        saved = time.monotonic()
        share_spent = self.share_spent(clock)
        for position, rows in self.order():
            losses = self.update(rows, position[0], budget.rate_at(share_spent, self.settings))
            self.count(position, rows, losses)
            share_spent = self.share_spent(clock)
            if losses:
                self.tell("step", step=self.progress.step, share=share_spent, loss=next(iter(losses.values())), elapsed_s=clock.elapsed_s)
            stop = self.check(share_spent, clock) or share_spent >= 1
            self.progress.spent_s, self.progress.spent = clock.elapsed_s, clock.spent
            if stop or self.progress.step == until or agree(self.interrupted()):
                self.progress.done = stop
                break
            if time.monotonic() - saved > self.settings.checkpoint_every_s:
                self.save()
                saved = time.monotonic()
        self.save()

    def share_spent(self, clock: budget.Budget) -> float:
        """Of steps, epochs or time; by the first rank's clock."""
        return agree(clock.share(self.progress.step, self.progress.seen / self.rows))

    def order(self) -> Iterator[tuple[Position, np.ndarray]]:
        """(position after it, rows) for each step, from where the progress stands."""
        if self.examples is None:
            return itertools.repeat((self.progress.position, np.arange(self.batch_size)))
        return Sampler(self.rows, self.examples.size, self.batch_size, self.settings.seed).start(self.progress.position)

    def cut(self, rows: np.ndarray, epoch: int) -> list[Any]:
        """A step's rows as this rank's micro-batches; a task that plays makes its own."""
        if self.examples is None:
            return [self.task.play(self.net, Draw(self.settings.seed, self.progress.step, rows, training=True))[0]]
        return [self.collate(part, epoch) for part in share(rows, self.stepper.pieces)]

    def collate(self, rows: np.ndarray, epoch: int) -> Any:
        """One micro-batch on the device."""
        draw = Draw(self.settings.seed, epoch, rows, training=True)
        return move(self.task.collate(self.examples.take(rows), draw), self.device)  # type: ignore[union-attr]

    def update(self, rows: np.ndarray, epoch: int, rate: float) -> dict[str, float]:
        """One step; no losses where it was skipped. Raises TrainingError L301, L302."""
        number, rate = self.progress.step, rate * recovery.rate_of(self.progress)
        while True:
            self.stepper.keep_statistics()
            try:
                losses = self.stepper.step(self.cut(rows, epoch), number=number, rate=rate)
                break
            except NotFinite as error:
                self.stepper.restore_statistics()
                recovery.skip(self, error, rows, epoch)
                return {}
            except (RuntimeError, MemoryError) as error:
                reason = recovery.memory(error)
                self.stepper.restore_statistics()
            recovery.halve(self, reason)  # here, where the failed step is no longer held
        self.progress.skipped = 0
        if self.average:
            blend(self.average, self.net, min(self.settings.ema, (1 + number) / (10 + number)))
        return losses

    def count(self, position: Position, rows: np.ndarray, losses: dict[str, float]) -> None:
        """Move the progress on by one step."""
        progress = self.progress
        progress.step, progress.position, progress.seen = progress.step + 1, position, progress.seen + len(rows)
        if losses:
            progress.epoch_sum, progress.epoch_rows = (
                progress.epoch_sum + next(iter(losses.values())) * len(rows),
                progress.epoch_rows + len(rows),
            )
            self.log.add(step=progress.step, epoch=position[0], losses=losses)
        if progress.seen % self.rows == 0 and progress.epoch_rows:  # every row once an epoch
            progress.epoch_loss, progress.epoch_sum, progress.epoch_rows = progress.epoch_sum / progress.epoch_rows, 0.0, 0

    def check(self, share_spent: float, clock: budget.Budget) -> bool:
        """Validate when it is due; whether to stop before the end."""
        progress, settings = self.progress, self.settings
        if settings.stop_loss is not None and progress.epoch_loss <= settings.stop_loss:
            return True
        if self.validate is None or not self.is_due(share_spent, clock):
            return False
        begun = time.monotonic()
        score = agree(self.score())
        score = -math.inf if math.isnan(score) else score  # not defined on these rows: never the best
        self.validation_s = clock.pass_s = agree(time.monotonic() - begun)
        progress.validated += 1
        progress.due = int(share_spent * settings.validations)
        progress.stale = 0 if score > progress.best_score else progress.stale + 1
        if score >= progress.best_score and not progress.skipped:  # of equals the later: its learning rate was lower
            progress.best_score, progress.best_step = score, progress.step
            self.best = clone(self.average or self.net.state_dict())
        self.log.add(step=progress.step, epoch=progress.position[0], score=score)
        self.tell("validation", step=progress.step, score=score, best=progress.best_score)
        return (bool(settings.patience) and progress.stale >= settings.patience) or self.share_spent(clock) >= 1

    validation_s = 0.0
    step_s: float | None = None  # as the trial of precisions measured it

    def is_due(self, share_spent: float, clock: budget.Budget) -> bool:
        """Evenly over the run; with a budget never more than a tenth of the time."""
        if share_spent >= 1:
            return True
        due = share_spent * self.settings.validations >= self.progress.due + 1
        if self.purse is None or not due:
            return due
        return agree(self.validation_s * (self.progress.validated + 1) < 0.1 * clock.elapsed_s + 0.5)

    def score(self) -> float:
        """The validation score of the averaged weights, or of the weights."""
        weights = clone(self.net.state_dict()) if self.average else None
        if self.average:
            self.net.load_state_dict(self.average)
        score = self.validate(self.net)  # type: ignore[misc]
        if weights is not None:
            self.net.load_state_dict(weights)
        self.net.train()
        keep_frozen(self.net)
        return score

    def settle(self, resumed: bool) -> None:
        """Threads by counting; precision and whether to compile by trial on a fresh run, as they were on a resumed one."""
        state = torch.get_rng_state()
        asked = self.threads if resumed else self.settings.threads
        batches = recovery.fitting(self, self.first_batches)
        self.threads = device.choose_threads(asked, self.task, self.net, batches[0])
        if not resumed:
            self.precision = recovery.fitting(self, self.choose_precision)
        recovery.fitting(self, lambda: self.choose_form(resumed))
        torch.set_rng_state(state)
        self.stepper.compute_in(self.device, self.precision)

    def first_batches(self) -> list[Any]:
        """The micro-batches of two steps."""
        steps = itertools.islice(self.order(), 1 if self.examples is None else 2)
        return [batch for position, rows in steps for batch in self.cut(rows, position[0])]

    def choose_precision(self) -> str:
        """By trial, unless the run's own forecast made it already, and said."""
        if self.tried:
            (chosen, self.why), self.step_s = self.tried, None
        else:
            asked, batches = self.settings.precision, self.first_batches()
            chosen, self.why, self.step_s = device.choose_precision(asked, self.task, self.net, batches, self.device)
        chosen = "bfloat16" if agree(chosen == "bfloat16") else "float32"
        say(
            tr(
                "{device}, threads: {threads}, {precision} ({why})",
                device=self.device,
                threads=self.threads,
                precision=chosen,
                why=self.why,
            )
        )
        return chosen

    def choose_form(self, resumed: bool) -> None:
        """Compiled or not: as it was, as it is asked for, or by trial; several ranks go on without one."""
        if resumed:
            self.stepper.fast = compiling.compiled(self.net, self.device) if self.compiled else None
            return
        asked = self.settings.compile
        if asked == "off" or (asked == "auto" and world()[1] > 1):
            return
        batches = self.first_batches()
        tried = lambda net: device.trial(self.task, net, batches, self.device, self.precision)  # noqa: E731
        found, why = compiling.choose(asked, self.net, self.device, tried, self.step_s, self.left_s)
        self.stepper.fast, self.compiled = found, found is not None
        if why:
            say(why)

    def left_s(self, step_s: float) -> float:
        """Seconds of training ahead when a step takes so many."""
        epochs = budget.epochs_of(self.settings, self.rows, suggested_epochs(self.net))
        steps = [count for count in (self.settings.steps, epochs and epochs * self.rows / self.batch_size) if count]
        return min(
            [(count - self.progress.step) * step_s for count in steps] + ([self.purse.seconds] if self.purse else []), default=math.inf
        )

    def save(self) -> None:
        """A checkpoint; the log is flushed before, and its length kept, and so are the best weights where they are new. At the end the chosen
        weights are all that anybody asks for."""
        if self.folder is None or not is_first():
            return
        places = self.folder / "checkpoints"
        try:
            self.progress.log_bytes = self.log.flush()
        except OSError as error:
            raise checkpoints.not_written(error, places, self.log.size()) from error
        best = (self.progress.best_score, self.progress.best_step)
        if self.best and best > self.apart:
            checkpoints.write(places / BEST, self.best, {"score": best[0], "step": best[1]})
            self.apart = best
        weights, optimizers, extra = self.net.state_dict(), self.stepper.optimizers, {"average": self.average, "best": self.best}
        if self.progress.done:
            weights, optimizers, extra = self.best or self.average or weights, {}, {}
        tensors, state = checkpoints.pack(weights, optimizers, extra)
        state |= {
            "progress": vars(self.progress),
            "precision": self.precision,
            "threads": self.threads,
            "compiled": self.compiled,
        }
        checkpoints.save(places, self.progress.step, tensors, state)

    def resume(self) -> bool:
        """Put back the newest checkpoint, if there is one."""
        found = checkpoints.load(self.folder / "checkpoints") if self.folder else None
        if kept := self.best_apart():
            self.apart = (kept[1]["score"], kept[1]["step"])
        if found is None:
            self.log.cut(0)
            return False
        tensors, state = found
        self.net.load_state_dict(checkpoints.unpack_weights(tensors, "net"))
        self.average, self.best = (checkpoints.unpack_weights(tensors, title) for title in ("average", "best"))
        self.precision, self.threads, self.compiled = state["precision"], state["threads"], state.get("compiled", False)
        self.stepper.compute_in(self.device, self.precision)
        for part in state["parts"]:
            checkpoints.unpack_optimizer(self.stepper.optimizer(part), part, tensors, state["plain"])
        self.progress = Progress(**state["progress"] | {"position": tuple(state["progress"]["position"])})
        self.stepper.pieces = self.settings.accumulation * self.progress.cuts
        self.log.cut(self.progress.log_bytes)
        if not self.progress.done:
            checkpoints.announce(self.progress.step)
        return True

    def best_apart(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The best weights as they are kept apart from the checkpoints, which may all be damaged."""
        place = self.folder / "checkpoints" / BEST if self.folder else None
        return checkpoints.read(place) if place and place.is_dir() else None

    def finish(self) -> nn.Module:
        """The net with the weights validation chose; the last, or their average, where nothing was validated."""
        if self.apart[0] > self.progress.best_score and (kept := self.best_apart()):
            say(tr("the best weights are those kept before the training began anew"))
            self.best = kept[0]
        if weights := self.best or self.average:
            self.net.load_state_dict(weights)
        return self.net.eval()


def fresh(task: Any) -> nn.Module:
    """A net with its first weights, pretrained where the task brings them."""
    net: nn.Module = task.build()
    if isinstance(task, Starts):
        task.start(net)
    return net


def suggested_epochs(net: nn.Module) -> float | None:
    """The most that a part of the net asks for: passes after which it would learn its rows by heart."""
    return max((float(found) for module in net.modules() if isinstance(found := getattr(module, "epochs", None), int)), default=None)
