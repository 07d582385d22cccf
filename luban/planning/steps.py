"""Seconds of training steps: the run's own loop on a copy of the net, over its own batches from the cheapest to the dearest."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from luban import memory
from luban.columns import Columns
from luban.data.sampler import WINDOW, Position, Sampler
from luban.energy import cpu_seconds
from luban.planning.costs import Cost, cost_of, fit, middle
from luban.planning.memory import Parts, Peak, activation_bytes, bytes_of, bytes_of_columns, optimizer_bytes, resident
from luban.task import Loss
from luban.training import budget, device
from luban.training.loop import Trainer, suggested_epochs
from luban.training.settings import Training

KINDS = 12  # of batches that are measured, evenly from the cheapest to the dearest
WARM = 3  # steps that are thrown away
WINDOWS = 2  # of the order of an epoch that are looked at
FEWEST_ROWS = 2  # a batch norm needs two
PROBES = (64, 8)  # a first look takes so small parts of a batch
SOME_STEPS = 4  # that patience must allow, else parts of batches are measured
TRIES, SHORT_S = 8, 0.3  # probes, of which the fastest counts: what else the machine does is no reason for smaller batches
TRIALS = 4  # steps that the run itself tries before it settles on a precision
MOST_FORMS = 128  # that oneDNN keeps about: it holds 1,024 products as it prepared them, and each form has several
SPARE = 1.5  # what an allocator and a backward pass need beyond what is saved


@dataclass(frozen=True)
class Epoch:
    """The batches of an epoch, or of its first windows where they are many."""

    batches: list[np.ndarray]  # rows of each
    sizes: np.ndarray  # (N,) of each example; 1 where they do not vary
    scale: float  # batches of the whole epoch over those at hand
    order_s: float  # seconds to make the order of the whole epoch

    @property
    def count(self) -> float:
        """Steps of the whole epoch."""
        return len(self.batches) * self.scale

    def costs(self) -> np.ndarray:
        """(batches, 2) rows, and the longest of them."""
        return np.array([cost_of(self.sizes[rows]) for rows in self.batches], np.float64)


def epoch_of(examples: Columns, batch_size: int, seed: int, *, scale: float) -> Epoch:
    """The first epoch's batches; `scale` is all examples over those at hand."""
    sampler = Sampler(len(examples), examples.size, batch_size, seed)
    windows = -(-len(examples) // WINDOW)
    looked = min(windows, WINDOWS)
    begun = time.perf_counter()
    batches = [rows for window in range(looked) for rows in sampler.batches(0, window)]
    rows = sum(map(len, batches))
    scale *= len(examples) / rows
    sizes = np.ones(len(examples), np.int64) if examples.size is None else np.asarray(examples.size)
    return Epoch(batches, sizes, scale, (time.perf_counter() - begun) * scale)


class Trial(Trainer):
    """The loop over batches of our choice: it validates nothing, keeps nothing, and stops when time is up."""

    def look(self, epoch: Epoch) -> Trial:
        """What to go through."""
        self.epoch, self.until, self.settle_s, self.divisor = epoch, 0.0, 0.0, 1
        self.stamps: list[float] = []
        self.held: list[int] = []
        self.chosen: list[np.ndarray] = []
        self.tell, self.interrupted = self.hear, lambda: time.perf_counter() > self.until
        self.net.train()
        return self

    def hear(self, event: str, **_: Any) -> None:
        """When each step was done, and what was resident then."""
        if event == "step":
            self.stamps.append(time.perf_counter())
            self.held.append(resident())

    def order(self) -> Iterator[tuple[Position, np.ndarray]]:
        """The run's own order while it settles, then the chosen batches again and again."""
        return (((0, 0, 0), rows) for rows in itertools.cycle(self.chosen)) if self.chosen else super().order()

    def begin(self, patience: float, room: float) -> None:
        """Settle as the run does, and choose the batches; where one step would take too long or too much, parts of batches."""
        seconds, held = self.probe()
        self.divisor = max(1, math.ceil(SOME_STEPS * seconds / patience), math.ceil(SPARE * held / room))
        if self.divisor == 1:
            begun = time.perf_counter()
            self.settle(False)
            self.settle_s = time.perf_counter() - begun
            self.chosen = self.choose()
            return
        self.threads = device.use_threads(self.settings.threads)
        self.chosen = self.choose()
        self.precision = self.choose_precision()
        self.settle_s = 0.0 if self.step_s is None else TRIALS * seconds  # nothing is tried where the recipe or the processor decides
        self.stepper.compute_in(self.device, self.precision)

    def first_batches(self) -> list[Any]:
        """The run's own, or where they are too large parts of them."""
        return [batch for rows in self.chosen[:2] for batch in self.cut(rows, 0)] if self.chosen else super().first_batches()

    def probe(self) -> tuple[float, float]:
        """Seconds and saved bytes of a step over the dearest batch, on the line through two small parts of it."""
        rows = self.sorted()[-1]
        points = [(len(few), *self.passed(few)) for few in (part(rows, portion) for portion in PROBES)]
        (a, *low), (b, *high) = points
        pieces = self.settings.accumulation * self.progress.cuts
        whole = [y + max(0.0, y - x) / max(1, b - a) * (len(rows) - b) for x, y in zip(low, high, strict=True)]
        return whole[0], whole[1] / pieces

    def passed(self, few: np.ndarray) -> tuple[float, float]:
        """Seconds of a forward and backward pass over a few rows, and the bytes it saves."""
        batch, spans = self.collate(few, 0), list[float]()
        held = activation_bytes(self.net, batch, lambda: forward(self, batch))[0]
        while len(spans) < 2 or (len(spans) < TRIES and sum(spans) < SHORT_S):
            begun = time.perf_counter()
            backward(self, self.collate(few, 0))
            spans.append(time.perf_counter() - begun)
        return min(spans), held

    def sorted(self) -> list[np.ndarray]:
        """The batches from the cheapest to the dearest."""
        costs = self.epoch.costs()
        return [self.epoch.batches[place] for place in np.lexsort((costs[:, 0], costs[:, 0] * costs[:, 1], costs[:, 1]))]

    def choose(self) -> list[np.ndarray]:
        """Batches evenly from the cheapest to the dearest, in mixed order, the dearest first."""
        order = self.sorted()
        places = np.unique(np.linspace(0, len(order) - 1, min(KINDS, len(order))).round().astype(int))
        mixed = [len(order) - 1, *np.random.default_rng(0).permutation(places[:-1])]
        if self.divisor == 1:
            return [order[place] for place in mixed]
        return [part(order[place], self.divisor * more) for place in mixed for more in (1, 2)]


def part(rows: np.ndarray, divisor: int) -> np.ndarray:
    """A few of the rows, the longest among them."""
    return rows[-max(FEWEST_ROWS, len(rows) // divisor) :]


ENCODERS = ("encoders", "encoder")


@dataclass(frozen=True)
class Steps:
    """What training steps take."""

    cost: Cost
    settle_s: float
    cores: float  # that were busy
    peak_bytes: int
    parts: Parts
    flops: float  # of a step of mean cost, forward and backward
    parameters: int
    trained: int
    epochs: float | None
    measured: int  # steps
    share: float  # of a batch that was held in memory; below 1 the whole is carried on
    threads: int
    precision: str
    why: str  # that precision
    device: str
    of_encoders: int = 0  # of the parameters


def try_steps(
    task: Any, examples: Columns, settings: Training, *, patience: float, room: float, scale: float = 1.0
) -> tuple[Steps, Epoch, Trial]:
    """Train a copy for about `patience` seconds in `room` bytes. `scale` is the rows of the run over those at hand."""
    size = min(len(examples), budget.batch_size_of(settings, round(len(examples) * scale)))
    unbound = replace(settings, batch_size=size, budget=None, epochs=None, steps=10**9, stop_loss=None, compile="off")
    trial = Trial(task, examples, unbound)
    epoch = epoch_of(examples, size, settings.seed, scale=scale)
    with Peak() as peak, memory.kept(wanted=settings.memory is None):
        trial.look(epoch).begin(patience, room)
        costs, seconds, cores = timed(trial, patience)
    parts = parts_of(trial, settings)
    unheld = parts.activations * (1 - len(trial.chosen[0]) / len(trial.sorted()[-1]))
    steps = Steps(
        cost=fit(costs, seconds),
        settle_s=trial.settle_s,
        cores=cores,
        peak_bytes=int(peak.bytes + SPARE * unheld + bytes_of_forms(trial, settings, scale)),
        parts=parts,
        flops=flops_of(trial),
        parameters=sum(p.numel() for p in trial.net.parameters()),
        of_encoders=sum(p.numel() for name, part in trial.net.named_children() if name in ENCODERS for p in part.parameters()),
        trained=sum(p.numel() for p in trial.net.parameters() if p.requires_grad),
        epochs=budget.epochs_of(settings, round(len(examples) * scale), suggested_epochs(trial.net)),
        measured=len(trial.stamps),
        share=1 / trial.divisor,
        threads=trial.threads or torch.get_num_threads(),
        precision=trial.precision,
        why=trial.why,
        device=str(trial.device),
    )
    return steps, epoch, trial


def timed(trial: Trial, patience: float) -> tuple[np.ndarray, np.ndarray, float]:
    """(K, 2) rows and longest, (K,) seconds of each kind of batch, and the cores that were busy; the first steps are thrown away."""
    cpu, begun = cpu_seconds(), time.perf_counter()
    trial.until = begun + patience
    trial.steps(None)
    while len(trial.stamps) < 2:
        trial.steps(None)
    cores = (cpu_seconds() - cpu) / max(1e-9, time.perf_counter() - begun)
    spans = np.diff(np.array([begun, *trial.stamps]))
    places = np.arange(len(spans)) % len(trial.chosen)
    cold = min(WARM, len(spans) - 1)
    spans, places = spans[cold:], places[cold:]
    kinds = list(dict.fromkeys(places.tolist()))
    costs = [cost_of(trial.epoch.sizes[trial.chosen[kind]]) for kind in kinds]
    return np.array(costs, np.float64), np.array([middle(spans[places == kind]) for kind in kinds]), cores


def bytes_of_forms(trial: Trial, settings: Training, scale: float) -> float:
    """What the run will hold for forms of batches that were not tried: libraries keep what they prepared for each, up to a number."""
    tried = trial.held[: len(trial.chosen)]  # each form once
    if len(tried) <= WARM + 1:
        return 0.0
    begin = max(WARM, len(tried) // 2)  # till then an allocator still grows
    rise = float(np.median(np.diff(tried[begin:])))  # one form's, whatever an allocator took or gave back beside
    batches, every = trial.epoch.costs(), len(np.unique(trial.epoch.sizes))
    epochs = budget.epochs_of(settings, round(len(trial.epoch.sizes) * scale), suggested_epochs(trial.net)) or math.inf
    steps = min(settings.steps or math.inf, epochs * trial.epoch.count)
    missed = 1 - min(1.0, len(np.unique(batches, axis=0)) / every)  # share of the forms that so many batches do not meet
    forms = min(every * (1 - missed ** (steps / len(batches))), steps, MOST_FORMS)
    return max(0.0, rise) * max(0.0, forms - len(tried))


def parts_of(trial: Trial, settings: Training) -> Parts:
    """Bytes by their use, counted; activations of the dearest micro-batch."""
    net = trial.net
    weights = bytes_of([*net.parameters(), *net.buffers()])
    groups = [group for optimizer in trial.stepper.optimizers.values() for group in optimizer.param_groups]
    batch = trial.cut(trial.chosen[0], 0)[0]
    held, by_part = activation_bytes(net, batch, lambda: forward(trial, batch))
    factor = len(trial.sorted()[-1]) / len(trial.chosen[0])
    return Parts(
        weights=weights,
        gradients=bytes_of([p for group in groups if not group.get("rows") for p in group["params"]]),
        optimizer=optimizer_bytes(groups, settings.optimizer, settings.momentum),
        copies=weights * (1 + bool(settings.ema)),
        activations=int(held * factor),
        data=bytes_of_columns(trial.examples) if trial.examples is not None else 0,
        groups={name: int(count * factor) for name, count in by_part.items()},
    )


def forward(trial: Trial, batch: Any) -> Any:
    """The loss, its graph alive."""
    with trial.stepper.autocast:
        out = next(trial.task.losses(trial.net, batch))
    return out.value if isinstance(out, Loss) else out.values.float().square().mean()


def backward(trial: Trial, batch: Any) -> None:
    """Forward and backward; gradients are dropped."""
    loss = forward(trial, batch)
    if loss.requires_grad:
        loss.backward()
    trial.net.zero_grad(set_to_none=True)


def flops_of(trial: Trial) -> float:
    """Floating-point operations of a step of middle cost, forward and backward."""
    rows = trial.sorted()[len(trial.epoch.batches) // 2]
    few = part(rows, trial.divisor)
    with FlopCounterMode(display=False, custom_mapping=RECURRENT) as counter:
        backward(trial, trial.collate(few, 0))
    return counter.get_total_flops() * len(rows) / len(few)


def recurrent_flops(x: Any, into: Any, between: Any, *_: Any, **__: Any) -> int:
    """Of an LSTM layer over (T, B, D): four gates, from the input and from the state."""
    return 2 * x[0] * x[1] * into[0] * (into[1] + between[1])


RECURRENT: dict[Any, Any] = {
    torch.ops.aten.mkldnn_rnn_layer: recurrent_flops,
    torch.ops.aten.mkldnn_rnn_layer_backward: lambda *shapes, **given: 2 * recurrent_flops(*shapes, **given),
}
