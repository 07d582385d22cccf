"""A rehearsal of a run on copies: every rung, the training steps, validations and the report, each as far as patience allows."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luban import energy, memory
from luban.capabilities import Glances
from luban.columns import Columns
from luban.errors import logger
from luban.evaluation.ladder import Role, Rung, candidates, looked_at, name_of
from luban.evaluation.metrics import Metric
from luban.planning.forecast import Network, Stage
from luban.planning.growth import Growth, grow, limit_of, once
from luban.planning.memory import resident
from luban.planning.solving import solving, spread
from luban.planning.steps import Steps, Trial, epoch_of, try_steps
from luban.predicting import marks_of
from luban.recipe import Recipe
from luban.training.budget import amount_of, batch_size_of, epochs_of
from luban.training.device import use_threads
from luban.training.loop import suggested_epochs
from luban.training.settings import Training
from luban.training.weights import clone

WEIGHTS = {"solve": 4, "train": 5, "validate": 1, "report": 4}  # of the patience, how it is shared out
FEW_PREDICTED, FEWEST_PREDICTED = 1000, 100
BRIEF_S = 2.0  # of patience in all: less is begun with
FIRST_DRAWS, FEWEST_DRAWS = 50, 2
MOST_MARKS, MOST_STREAMED = 200_000, 50_000  # that a report is rehearsed with; more change little of what it takes
LEAST_S = 0.3
LARGE = 300_000_000  # bytes of weights that are not written for a trial
BYTES_A_SECOND = 4e8

Judge = Callable[[list[Rung], int], dict[str, Any]]  # the report, with so many draws
Keep = Callable[[list[Rung], dict[str, Any]], None]  # report and bundle


@dataclass
class Rehearsal:
    """What was measured, in the order of the run."""

    recipe: Recipe
    task: Any
    examples: dict[str, Columns]
    scale: float  # rows of the run over those at hand
    metric: Metric
    patience: float
    room: float  # bytes that may be held
    scratch: Path
    judge: Judge
    keep: Keep
    stages: list[Stage] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    network: Network | None = None
    steps: Steps | None = None
    watts: float | None = None
    saved_bytes: int = 0  # of a checkpoint
    solved_bytes: int = 0  # of the weights of all rungs
    device_bytes: int | None = None
    base_bytes: int = 0
    until: float = 0.0  # on the clock
    weight: int = 0  # of the stages that are still to come

    def run(self) -> Rehearsal:
        """All stages; threads, random numbers and the logger are left as they were."""
        with untouched(self.recipe.training.seed):
            self.base_bytes, self.until = resident(), time.perf_counter() + self.patience
            ladder = candidates(self.recipe, self.task)
            fits = [WEIGHTS["solve" if role == "baseline" else "train"] + WEIGHTS["validate"] for _, role in ladder]
            self.weight = sum(fits) + WEIGHTS["report"]
            for task, role in ladder:
                use_threads(self.recipe.training.threads)
                net = self.solved(task) if role == "baseline" else self.trained(task)
                self.judged(task, net, role)
            self.finished()
        return self

    @property
    def streamed(self) -> bool:
        """Whether the rows lie on the disk, to be gone through piece by piece."""
        return isinstance(self.examples["train"].row, np.memmap)

    @property
    def most_marks(self) -> int:
        """That a report is rehearsed with."""
        return MOST_STREAMED if self.streamed else MOST_MARKS

    def share(self, name: str) -> float:
        """Seconds that a stage may take: what others leave of theirs is there for those that follow."""
        left = max(0.0, self.until - time.perf_counter()) * WEIGHTS[name] / max(1, self.weight)
        self.weight -= WEIGHTS[name]
        return max(LEAST_S, left)

    def add(self, name: str, model: str, growth: Growth, *, times: float = 1) -> Stage:
        """One more stage."""
        seconds, peak = growth.once_s + growth.seconds * times, growth.peak_bytes
        if self.streamed:  # whatever the rows are, no more than is allowed is held
            peak = min(peak, memory.allowance(self.recipe.training.memory))
        stage = Stage(name, model, seconds, growth.once_s + growth.cpu_seconds * times, peak, growth.share, growth.once_s)
        self.stages.append(stage)
        return stage

    def solved(self, task: Any) -> Any:
        """Solve a rung on growing parts of the training rows; the net of the largest that was solved wholly."""
        growth, net = solving(task, self.examples["train"], self.recipe.training, patience=self.share("solve"), scale=self.scale)
        self.add("solve", name_of(task), growth)
        self.solved_bytes += sum(t.nbytes for t in net.state_dict().values())
        return net.eval()

    def trained(self, task: Any) -> Any:
        """Train a copy for a few steps."""
        name, settings = name_of(task), self.recipe.training
        before, begun = energy.read(), time.perf_counter()
        self.steps, epoch, trial = try_steps(
            task, self.examples["train"], settings, patience=self.share("train"), room=self.room, scale=self.scale
        )
        joules = before.until(energy.read())
        self.watts = joules / (time.perf_counter() - begun) if joules else None
        steps, step_s = self.steps, float(self.steps.cost.seconds(epoch.costs()).mean())
        count = steps_of(self.steps, epoch.count, settings)
        if settings.budget is not None:
            count = min(count, budget_s(self.recipe, self.watts, steps.cores) / step_s)
        seconds = count * step_s + count / epoch.count * epoch.order_s
        peak = steps.peak_bytes + steps.parts.copies
        self.stages.append(Stage("settle", name, steps.settle_s, steps.settle_s * steps.cores, steps.peak_bytes, steps.share))
        self.stages.append(Stage("train", name, seconds, seconds * steps.cores, peak, steps.share))
        self.saved(trial, name, seconds)
        self.network = Network(
            name=name, parameters=steps.parameters, of_encoders=steps.of_encoders, trained=steps.trained, steps=round(count), epochs=count / epoch.count,
            batch_size=trial.batch_size, flops_per_step=steps.flops, step_seconds=step_s, longest=int(epoch.sizes.max()),
            threads=steps.threads, precision=steps.precision, why=steps.why, device=steps.device, parts=steps.parts,
        )  # fmt: skip
        if trial.device.type == "cuda":
            self.device_bytes = torch.cuda.max_memory_reserved(trial.device)
        return trial.net.eval()

    def saved(self, trial: Trial, name: str, train_s: float) -> None:
        """Checkpoints: one is written, if it is not large; the last holds no more than the chosen weights, which also lie apart."""
        weights = self.steps.parts.weights  # type: ignore[union-attr]
        self.saved_bytes = 2 * weights + self.steps.parts.copies  # type: ignore[union-attr]
        seconds = self.saved_bytes / BYTES_A_SECOND
        if weights < LARGE:
            trial.folder, trial.best, trial.progress.best_score = self.scratch, clone(trial.net.state_dict()), 0.0
            begun = time.perf_counter()
            trial.save()
            seconds = time.perf_counter() - begun
            self.saved_bytes = sum(path.stat().st_size for path in (self.scratch / "checkpoints").glob("step-*/*"))
        last = min(1.0, 2 * weights / max(1, self.saved_bytes))
        seconds *= int(train_s // trial.settings.checkpoint_every_s) + last
        self.stages.append(Stage("save", name, seconds, seconds, resident()))

    def judged(self, task: Any, net: Any, role: Role) -> None:
        """Validations, and the test split; the rung with the marks that the report needs."""
        name = name_of(task)
        rung = Rung(name, task, net, role, 0.0)
        part = next((part for part in ("validation", "test") if len(self.examples[part])), None)
        if part is not None:
            self.predicted(rung, part)
        self.rungs.append(rung)

    def predicted(self, rung: Rung, part: str) -> None:
        """Predict a split as far as patience allows; its marks stand for both splits."""
        examples = looked_at(rung.task, self.examples, self.metric, last=True) if part == "validation" else self.examples[part]
        growth, rows, found = self.answered(rung, examples, part)
        if part == "validation":
            self.validated(rung, growth)
            rung.validation = repeated(found, min(self.most_marks, rows))
        if count := round(len(self.examples["test"]) * self.scale):
            self.add("score", rung.name, replace(growth, once_s=0.0), times=count / rows)
            rung.test = repeated(found, min(self.most_marks, count))

    def validated(self, rung: Rung, last: Growth) -> None:
        """The validations between a network's steps, and the last; where that one is another, it is kept back for as the test split is."""
        often = min(self.recipe.training.validations, self.network.steps) if self.network and rung.role == "network" else 0
        if not often or not isinstance(rung.task, Glances):
            self.add("validate", rung.name, last, times=often or 1)  # the marks of the best are kept
            return
        looked = looked_at(rung.task, self.examples, self.metric, last=False)
        self.add("validate", rung.name, self.answered(rung, looked, "validation")[0], times=often)
        self.add("judge", rung.name, last)

    def answered(self, rung: Rung, examples: Columns, part: str) -> tuple[Growth, int, Columns]:
        """What answering and judging these of a split takes, how many they are in the run, and the marks of some."""
        found: list[Columns] = []
        total = len(examples) if len(examples) < len(self.examples[part]) else round(len(examples) * self.scale)
        if isinstance(rung.task, Glances):
            examples = rung.task.as_learnt(examples)

        def work(size: int) -> None:
            found[:] = [marks_of(rung.task, rung.net, spread(examples, size))]
            self.metric(found[0])

        start = FEWEST_PREDICTED if self.patience < BRIEF_S or isinstance(rung.task, Glances) else FEW_PREDICTED
        growth = grow(work, total, most=len(examples), start=start, patience=self.share("validate"), affine=True)
        if not found:  # even the first few were cut off; the report needs some
            found.append(marks_of(rung.task, rung.net, spread(examples, 2)))
        return growth, total, found[0]

    def finished(self) -> None:
        """The report with growing numbers of draws, then once what is written of it."""
        if not self.rungs:
            return
        self.rungs[-1].chosen = True
        draws, reports = self.recipe.evaluation.draws, list[dict[str, Any]]()

        def work(size: int) -> None:
            reports[:] = [self.judge(self.rungs, size)]

        patience = self.share("report")
        growth = grow(work, draws, start=FIRST_DRAWS, patience=patience, affine=True)
        if not reports:  # even the first few were cut off
            work(FEWEST_DRAWS)
        kept = once(lambda _: self.keep(self.rungs, reports[0]), 1, limit_of(patience))
        whole = replace(growth, seconds=growth.seconds + kept.seconds, cpu_seconds=growth.cpu_seconds + kept.cpu_seconds)
        self.add("report", "", replace(whole, peak_bytes=max(growth.peak_bytes, kept.peak_bytes)))


def roughly(recipe: Recipe, task: Any, train: Columns) -> float:
    """Seconds that the training of the network may take, from a small part of one batch; 0 without a network."""
    found, settings = [task for task, role in candidates(recipe, task) if role == "network"], recipe.training
    if not found or not len(train):
        return 0.0
    with untouched(settings.seed):
        size = batch_size_of(settings, len(train))
        trial = Trial(found[-1], train, replace(settings, batch_size=size)).look(epoch_of(train, size, settings.seed, scale=1.0))
        seconds, _ = trial.probe()
        epochs = epochs_of(settings, len(train), suggested_epochs(trial.net))
    whole = seconds * fewest(settings.steps, epochs and epochs * trial.epoch.count)
    return whole if settings.budget is None else min(whole, budget_s(recipe, None, torch.get_num_threads()))


def budget_s(recipe: Recipe, watts: float | None, cores: float) -> float:
    """Seconds that a budget of any unit lasts with so many busy cores."""
    amount = amount_of(str(recipe.training.budget))
    rate = energy.Energy("counters" if watts else "band", watts, recipe.costs).rate(amount.unit, cores)
    return amount.value / rate if rate else math.inf


def fewest(steps: float | None, of_epochs: float | None) -> float:
    """Steps of the whole training: what is asked for first; without end where only a budget ends it."""
    return min((count for count in (steps, of_epochs) if count), default=math.inf)


def steps_of(steps: Steps, an_epoch: float, settings: Training) -> float:
    """Steps of the whole training: what is asked for first."""
    return fewest(settings.steps, steps.epochs and steps.epochs * an_epoch)


def repeated(marks: Columns, count: int) -> Columns:
    """The marks again and again, till there are so many; as marks of the same rows, however many of them were predicted."""
    return replace(marks.take(np.resize(np.arange(len(marks)), count)), row=np.arange(count))


@contextmanager
def untouched(seed: int) -> Iterator[None]:
    """What is done within leaves no trace in random numbers, threads and messages."""
    state, threads, level = torch.get_rng_state(), torch.get_num_threads(), logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        torch.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)
        logger.setLevel(level)
