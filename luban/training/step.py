"""One optimizer step for each loss a task yields: micro-batches and ranks advance in lockstep."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from luban.draw import key_of
from luban.errors import TrainingError
from luban.messages import tr
from luban.task import Loss, Pool
from luban.training import optimizers
from luban.training.device import autocast
from luban.training.distributed import gather, sum_over_ranks, world
from luban.training.rowwise import make_whole, sort_by_rows
from luban.training.settings import Training

NORM_LEAST = 1e-6  # added to a norm that is divided by, as torch does
Run = Generator[Loss | Pool, Tensor, None]


@dataclass
class Stepper:
    """A net, its task, and one optimizer for each part a loss names."""

    task: Any
    net: nn.Module
    settings: Training
    rows: int  # of the training split, for the L2 penalty
    autocast: AbstractContextManager[Any] = field(default_factory=nullcontext)
    half: bool = False  # products are of bfloat16, the optimizer's too
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    pieces: int = 0  # micro-batches of a step on this rank
    fast: nn.Module | None = None  # the net compiled; None = the net itself
    applied: int = 0  # losses of the step at hand that were stepped before its memory ran out

    def __post_init__(self) -> None:
        self.pieces = self.pieces or self.settings.accumulation
        self.parameters = list(self.net.parameters())
        self.kept: list[Tensor] = []
        self.buffers = [buffer for buffer in self.net.buffers() if buffer.is_floating_point()]

    def compute_in(self, device: torch.device, precision: str) -> None:
        """Before the first step: how precisely products are computed."""
        self.autocast, self.half = autocast(device, precision), precision == "bfloat16"

    @property
    def driven(self) -> nn.Module:
        """What losses are computed with."""
        return self.net if self.fast is None else self.fast

    def optimizer(self, part: str) -> torch.optim.Optimizer:
        """The optimizer of a part, made when it is first needed."""
        if part not in self.optimizers:
            self.optimizers[part] = optimizers.build(self.net, self.settings, part, half=self.half)
        return self.optimizers[part]

    def keep_statistics(self) -> None:
        """Copies of what a forward pass moves by itself, so that a step that fails leaves no trace."""
        self.kept = [buffer.clone() for buffer in self.buffers]

    def restore_statistics(self) -> None:
        """As they were before the step."""
        if self.kept:
            torch._foreach_copy_(self.buffers, self.kept)

    def step(self, batches: list[Any], *, number: int, rate: float) -> dict[str, float]:
        """One step over the micro-batches; the mean loss of each part. Raises NotFinite. Tried again, what was stepped is not stepped twice."""
        runs: list[Run] = [self.task.losses(self.driven, batch) for batch in batches]
        values: dict[str, float] = {}
        turn = 0
        while (outcome := self.backward(runs, batches, number, turn)) is not None:
            part, value = outcome
            values[part or "loss"] = value
            if turn >= self.applied:
                self.apply(part, rate, value)
                self.applied = turn + 1
            turn += 1
        self.applied = 0
        return values

    def backward(self, runs: list[Run], batches: list[Any], number: int, turn: int) -> tuple[str, float] | None:
        """Advance every run to its next loss and add up gradients; None when all are done."""
        part, total, count, optimizer = "", 0.0, 0.0, None
        pooled: list[Tensor] = []
        begin, divided = 0, len(runs) > 1 or world()[1] > 1
        for micro, run in enumerate(runs):
            out = self.advance(run, number, micro, turn)
            if out is None:
                return None
            if isinstance(out, Pool):
                pooled, begin = (pooled, begin) if pooled else self.pool(out, batches, number, turn)
                out = self.answer_pool(run, out, pooled, begin + micro)
            if optimizer is None:
                part = out.part
                optimizer = self.optimizer(part)
                for parameter in self.parameters:
                    parameter.grad = None
            divided = divided or out.count < 1  # a single micro-batch's mean is the step's already
            (out.value * out.count if divided else out.value).backward()  # not inputs=: under fully_shard that leaves no gradient
            total += out.value.item() * out.count
            count += out.count
        parameters = [p for group in optimizer.param_groups for p in group["params"]]  # type: ignore[union-attr]
        tables = [p for group in optimizer.param_groups if group.get("rows") for p in group["params"]]  # type: ignore[union-attr]
        if not tables or world()[1] > 1:
            make_whole(parameters)
        if world()[1] > 1:
            total, count = sum_over_ranks(parameters, torch.tensor([total, count], dtype=torch.float64)).tolist()
        sort_by_rows(tables)
        count = max(1.0, count)
        gradients = gradients_of(parameters)
        if divided and not pooled and gradients:
            torch._foreach_div_(gradients, count)
        return part, total / count

    def advance(self, run: Run, number: int, micro: int, turn: int) -> Loss | Pool | None:
        """The run's next yield; dropout depends on seed, step, micro-batch over all ranks, and turn alone."""
        place = world()[0] * self.pieces + micro
        seed = key_of(self.settings.seed, number, place, turn) >> 1
        torch.default_generator.manual_seed(seed)  # torch.manual_seed costs 0.4 ms more
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)
        with self.autocast:
            return next(run, None)

    def pool(self, first: Pool, batches: list[Any], number: int, turn: int) -> tuple[list[Tensor], int]:
        """Pooled values of all micro-batches and ranks, without gradients; where this rank's begin. Raises TrainingError L311."""
        if turn:
            raise TrainingError("L311", tr("a Pool must be the first thing a loss yields"), where=type(self.task).__name__)
        values = [first.values.detach()]
        for micro in range(1, len(batches)):
            peek = self.task.losses(self.driven, batches[micro])
            with torch.no_grad():
                values.append(self.advance(peek, number, micro, turn).values)  # type: ignore[union-attr]
            peek.close()
        return gather(values)

    def answer_pool(self, run: Run, own: Pool, pooled: list[Tensor], place: int) -> Loss:
        """Send back all values, this micro-batch's with their graph; its loss moves only through them."""
        with self.autocast:
            out = run.send(torch.cat([*pooled[:place], own.values, *pooled[place + 1 :]]))
        return replace(out, count=1)  # type: ignore[arg-type]

    def apply(self, part: str, rate: float, value: float) -> None:
        """Penalise, check, clip, step. Raises NotFinite before the update."""
        optimizer = self.optimizer(part)
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = gradients_of(parameters)
        if self.settings.l2:
            matrices = [p for p in parameters if p.ndim >= 2]
            torch._foreach_add_(gradients_of(matrices), [read_of(p) for p in matrices], alpha=self.settings.l2 / self.rows)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))) if gradients else torch.zeros(())
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            self.applied = 0
            raise NotFinite(value)
        if self.settings.clip_norm and norm + NORM_LEAST > self.settings.clip_norm:
            torch._foreach_mul_(gradients, self.settings.clip_norm / (norm + NORM_LEAST))
        for group in optimizer.param_groups:
            group["lr"] = group["base_rate"] * rate
        optimizer.step()


def gradients_of(parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradients of those that have one, to be read and changed; of a table stepped by rows, those of its rows."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return [gradient.values() if gradient.is_sparse else gradient for gradient in gradients]


def read_of(parameter: nn.Parameter) -> Tensor:
    """A parameter; of a table stepped by rows, the rows that have a gradient."""
    gradient = parameter.grad
    return parameter.detach().index_select(0, gradient.indices()[0]) if gradient is not None and gradient.is_sparse else parameter


class NotFinite(ArithmeticError):
    """A loss or gradient that is not a number, caught before the update; the loop names layer and rows."""

    def __init__(self, loss: float) -> None:
        super().__init__(f"loss {loss}")
        self.loss = loss
