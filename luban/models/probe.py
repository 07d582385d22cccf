"""probe: a linear head solved on the vectors of a pretrained encoder, whose upper layers can first be tuned on few labels.

B batch, T tokens, D width, N training rows, O outputs. Linear heads on frozen vectors: see layers/heads.py; tuning: layers/upper.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers import upper
from luban.layers.heads import fit_head, fold_of, losses, smallest
from luban.layers.upper import Lower, is_text, lengths_of, take
from luban.messages import tr
from luban.roles import Inputs, SupervisedBatch

ROLE, TAKES = "predictor", ()
CELLS = 8192  # tokens encoded at once
WORK, WORK_OF_A_ROW, MOST_WORK = (
    4.4e12,
    1.2e10,
    2.4e13,
)  # operations of all tuning together: less than a minute of two cores, and at most some five
FOLDS, ENOUGH = 3, 300  # parts of the rows; so many rows held out tell the ways apart
LEAST_PASSES, MOST_PASSES = 2, 12


@dataclass(frozen=True)
class Rows:
    """All training rows that have a target."""

    inputs: Inputs
    target: np.ndarray  # (N,) or (N, O)
    counts: np.ndarray | None  # (N,) what each weighs


class Probe(nn.Module):
    """Encoders are handed in by the task: a model never imports a model."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How the encoders are used."""

        adapt: Literal["auto", "frozen", "contrastive"] = "auto"
        """What is tuned before the head is solved."""

    def __init__(self, config: Probe.Config, encoders: list[Any], out_dim: int, *, aim: str) -> None:
        super().__init__()
        if config.adapt == "contrastive" and aim != "label":
            fix = tr("state adapt = {ways}", ways='"frozen"')
            raise RecipeError("L129", tr("contrast needs one label a row"), where="model.adapt", received=config.adapt, fix=fix)
        self.config, self.aim = config, aim
        self.encoders = nn.ModuleList(encoders).requires_grad_(False)
        width = sum(encoder.out_dim for encoder in encoders)
        self.way = config.adapt  # once solved, what was chosen
        self.center: Tensor
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("weight", torch.zeros(width, out_dim))
        self.register_buffer("bias", torch.zeros(out_dim))

    def forward(self, inputs: Inputs) -> Tensor:
        """(B, O)."""
        return (self.vectors(inputs) - self.center) @ self.weight + self.bias

    def vectors(self, inputs: Inputs) -> Tensor:
        """(B, D) of unit length from each encoder; similar lengths together, a few tokens at once."""
        lengths = lengths_of(inputs)
        order = lengths.argsort(stable=True)
        parts = [self.some(inputs, rows) for rows in cut(order, lengths[order])]
        return torch.cat(parts)[order.argsort()]

    def some(self, inputs: Inputs, rows: Tensor) -> Tensor:
        """(rows, D)."""
        taken = take(inputs, rows)
        return torch.cat([F.normalize(encoder(taken), dim=1) for encoder in self.encoders], dim=1)

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Choose what to tune, tune it, and solve the head; tuning takes no more than half of the `seconds` that the batches tell."""
        self.eval()  # nothing is dropped, neither here nor in tuning
        until = time.monotonic() + getattr(batches, "seconds", math.inf) / 2
        rows = gathered(batches, self.aim)
        yield 0.05
        self.way, passes, lower, frozen = self.config.adapt, self.passes(rows), None, torch.empty(0)
        if passes or self.way == "contrastive":
            lower = upper.lowered(self.encoders[0], rows.inputs)
            begun = time.monotonic()
            frozen = upper.vectors(self.encoders[0], lower)
            speed = upper.operations(self.encoders[0], rows.inputs) / 3 / (time.monotonic() - begun)  # forward is a third
            passes = self.passes(rows, speed * (until - time.monotonic()))
        if self.way == "auto":
            self.way = (yield from self.choose(rows, lower, frozen, passes)) if lower is not None and passes else "frozen"
        if lower is not None:
            self.tune(rows, lower, max(LEAST_PASSES, passes))
        yield 0.9
        center, weight, bias = self.head(self.vectors(rows.inputs).double().numpy(), rows)
        for buffer, value in ((self.center, center), (self.weight, weight), (self.bias, bias)):
            buffer.copy_(torch.from_numpy(value))
        yield 1.0

    def head(self, vectors: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre (D,), weights (D, O) and biases (O,) over vectors (N, D): solved where they have mean 0 and spread 1."""
        center = vectors.mean(0)
        spread = max(1e-9, float((vectors - center).std()))
        weight, bias = fit_head((vectors - center) / spread, rows.target, aim=self.aim, outputs=len(self.bias), counts=rows.counts)
        return center, weight / spread, bias

    def passes(self, rows: Rows, most: float = MOST_WORK) -> int:
        """Over the rows, when tuning: as many as the work allows, and `most` operations; 0 where it is not worth beginning."""
        encoder: Any = self.encoders[0]
        if self.aim != "label" or len(self.encoders) > 1 or not hasattr(encoder, "above") or smallest(rows.target) < 2:
            return 0
        if len(np.unique(rows.target)) < 2:
            return 0
        work = min(most, MOST_WORK, max(WORK, WORK_OF_A_ROW * len(rows.target)))
        trainings = 1 + 2 * held_folds(rows.target) * (FOLDS - 1) / FOLDS if self.config.adapt == "auto" else 1
        found = int(work / trainings / upper.operations(encoder, rows.inputs))
        return 0 if found < LEAST_PASSES else min(MOST_PASSES, found)

    def tune(self, rows: Rows, lower: Lower, passes: int) -> None:
        """As `way` has it, where it has anything."""
        if self.way != "frozen":
            upper.tune(self.encoders[0], lower, torch.from_numpy(rows.target.astype(np.int64)), self.way, passes)

    def choose(self, rows: Rows, lower: Lower, frozen: Tensor, passes: int) -> Any:
        """The way whose held-out rows are answered best, `frozen` (N, D) vectors among them; of equals the cheapest. Yields progress."""
        part, folds = fold_of(rows.target, min(FOLDS, smallest(rows.target))), held_folds(rows.target)
        kept = {name: value.clone() for name, value in self.encoders.state_dict().items()}
        ways = ("frozen", "contrastive", "classified")
        right, lost = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
        for fold in range(folds):
            rest, held = (torch.from_numpy(np.flatnonzero(one)) for one in (part != fold, part == fold))
            learnt, target = some_rows(rows, rest), rows.target[held.numpy()].astype(int)
            for place, self.way in enumerate(ways):
                self.tune(learnt, lower.take(rest), passes)
                found = frozen if self.way == "frozen" else upper.vectors(self.encoders[0], lower)
                here, there = (found[at].double().numpy() for at in (rest, held))
                self.encoders.load_state_dict(kept)
                center, weight, bias = self.head(here, learnt)
                logits = (there - center) @ weight + bias
                guess = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
                right[self.way] += float((guess == target).sum())
                lost[self.way] += float(losses(logits, target).sum())
                yield 0.05 + 0.6 * (fold * len(ways) + place + 1) / (len(ways) * folds)
        return max(ways, key=lambda way: (right[way], -lost[way], -ways.index(way)))


def held_folds(target: np.ndarray) -> int:
    """How many of the folds are held out, one after the other: all, but of many rows only as many as tell enough."""
    return min(FOLDS, smallest(target), -(-ENOUGH * FOLDS // len(target)))


def gathered(batches: Iterable[SupervisedBatch], aim: str) -> Rows:
    """All rows with a target as one batch, texts padded to the longest."""
    inputs: dict[str, list[Tensor]] = {}
    targets, weights = [], None
    for batch in batches:
        target = batch.target
        known = target >= 0 if aim == "label" else ~(target.isnan().any(1) if target.ndim > 1 else target.isnan())
        at = known.nonzero()[:, 0]
        for name, tensor in take(batch.inputs, at, trim=False).items():
            inputs.setdefault(name, []).append(tensor)
        targets.append(target[at].cpu().numpy())
        weights = batch.weights
    target = np.concatenate(targets)
    counts = None if weights is None else weights.cpu().numpy()[target]
    return Rows({name: stacked(parts) for name, parts in inputs.items()}, target, counts)


def some_rows(rows: Rows, at: Tensor) -> Rows:
    """Some of them."""
    return Rows(take(rows.inputs, at), rows.target[at.numpy()], None if rows.counts is None else rows.counts[at.numpy()])


def cut(order: Tensor, lengths: Tensor) -> list[Tensor]:
    """Rows of rising lengths in groups of at most so many tokens, padding included."""
    groups, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or int(lengths[end]) * (end + 1 - start) > CELLS:
            groups.append(order[start:end])
            start = end
    return groups


def stacked(parts: list[Tensor]) -> Tensor:
    """(N, …) batches one after the other, texts padded alike."""
    if not is_text(parts[0]):
        return torch.cat(parts)
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts])
