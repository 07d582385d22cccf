"""probe: a linear head solved on the vectors of a pretrained encoder, whose upper layers can first be tuned on few labels.

B batch, T tokens, D width, N training rows, O outputs. Linear heads on frozen vectors: see layers/heads.py.
Supervised contrast: Khosla et al. 2020, eq. 2; contrast before a linear head, on few labels: Tunstall et al. 2022 (SetFit).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers.heads import fit_head, fold_of, losses, smallest
from luban.messages import tr
from luban.roles import Inputs, SupervisedBatch

ROLE, TAKES = "predictor", ()
CELLS = 8192  # tokens encoded at once
WORK = 4e12  # operations of all tuning together, cross-validation among it: a minute or so of two cores
FOLDS = 3
LONGEST = 128  # tokens of a text that tuning looks at
LEAST_PASSES, MOST_PASSES = 2, 12
ROWS = 32  # of a step
TEMPERATURE = 0.1
RATE = 1e-4


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
        """Choose what to tune, tune it, and solve the head."""
        self.eval()  # nothing is dropped, neither here nor in tuning
        rows = gathered(batches, self.aim)
        yield 0.05
        way, passes = self.config.adapt, self.passes(rows)
        if way == "auto":
            way = yield from self.choose(rows, passes)
        self.way = way
        if way != "frozen":
            self.tune(rows, way, max(LEAST_PASSES, passes))
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

    def passes(self, rows: Rows) -> int:
        """Over the rows, when tuning: as many as the work allows; 0 where it is not worth beginning."""
        encoder: Any = self.encoders[0]
        if self.aim != "label" or len(self.encoders) > 1 or not hasattr(encoder, "above") or len(np.unique(rows.target)) < 2:
            return 0
        learnt = sum(p.numel() for block in encoder.blocks[depth_of(encoder) :] for p in block.parameters())
        tokens = int(lengths_of(rows.inputs).clamp(max=LONGEST).sum())
        trainings = 2 * (FOLDS - 1) + 1 if self.config.adapt == "auto" else 1  # two ways in folds that leave one part out, and the last
        found = int(WORK / trainings / (6 * learnt * tokens))
        return 0 if found < LEAST_PASSES or smallest(rows.target) < 2 else min(MOST_PASSES, found)

    def choose(self, rows: Rows, passes: int) -> Any:
        """The way whose held-out rows are answered best; of equals the cheapest. Yields progress."""
        few = smallest(rows.target) if self.aim == "label" else 0
        if not passes or few < 2:
            return "frozen"
        part = fold_of(rows.target, min(FOLDS, few))
        kept = {name: value.clone() for name, value in self.encoders.state_dict().items()}
        ways = ("frozen", "contrastive", "classified")
        right, lost = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
        whole = self.vectors(rows.inputs)
        for fold in range(part.max() + 1):
            rest, held = (torch.from_numpy(np.flatnonzero(one)) for one in (part != fold, part == fold))
            for place, way in enumerate(ways):
                learnt = some_rows(rows, rest)
                if way == "frozen":
                    here, there = whole[rest], whole[held]
                else:
                    self.tune(learnt, way, passes)
                    here, there = self.vectors(learnt.inputs), self.vectors(take(rows.inputs, held))
                    self.encoders.load_state_dict(kept)
                center, weight, bias = self.head(here.double().numpy(), learnt)
                logits = (there.double().numpy() - center) @ weight + bias
                target = rows.target[held.numpy()].astype(int)
                guess = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
                right[way] += float((guess == target).sum())
                lost[way] += float(losses(logits, target).sum())
                yield 0.05 + 0.6 * (fold * len(ways) + place + 1) / (len(ways) * (part.max() + 1))
        return max(ways, key=lambda way: (right[way], -lost[way], -ways.index(way)))

    @torch.enable_grad()
    def tune(self, rows: Rows, way: str, passes: int) -> None:
        """Train the upper layers: rows of one label are drawn together (`contrastive`), or told apart by a throw-away head."""
        encoder: Any = self.encoders[0]
        depth, target = depth_of(encoder), torch.from_numpy(rows.target.astype(np.int64))
        short = {name: tensor[:, :LONGEST] if is_text(tensor) else tensor for name, tensor in rows.inputs.items()}
        with torch.no_grad():
            parts = [encoder.below(take(short, at), depth) for at in torch.arange(len(target)).split(ROWS)]
        learnt = [p for block in encoder.blocks[depth:] for p in block.parameters()]
        classes = nn.Linear(encoder.out_dim, max(2, int(target.max()) + 1)) if way == "classified" else None
        groups: list[dict[str, Any]] = [{"params": learnt, "rate": RATE}]
        groups += [{"params": list(classes.parameters()), "rate": 30 * RATE}] if classes is not None else []
        optimizer, draw = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01), torch.Generator().manual_seed(0)
        for parameter in learnt:
            parameter.requires_grad_(True)
        whole = padded(parts)
        steps, step = passes * -(-len(target) // ROWS), 0
        for _ in range(passes):
            for at in torch.randperm(len(target), generator=draw).split(ROWS):
                for group in optimizer.param_groups:
                    group["lr"] = group["rate"] * min(1.0, (step + 1) / (0.1 * steps)) * (1 - step / steps)
                states, known = (part[at] for part in whole)
                longest = int(known.sum(1).max())
                vectors = encoder.above(states[:, :longest], known[:, :longest], depth)
                loss = (
                    contrast(vectors, target[at]) if classes is None else F.cross_entropy(classes(F.normalize(vectors, dim=1)), target[at])
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
        for parameter in learnt:
            parameter.requires_grad_(False)


def contrast(vectors: Tensor, target: Tensor) -> Tensor:
    """() eq. 2 over (B, D) vectors: each row against those of its label among all others; rows without one do not count."""
    vectors = F.normalize(vectors, dim=1)
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    score = (vectors @ vectors.T / TEMPERATURE).masked_fill(own, -torch.inf)
    chance = score - score.logsumexp(1, keepdim=True)
    alike = (target[:, None] == target) & ~own
    some = alike.any(1)
    each = chance.masked_fill(~alike, 0.0).sum(1)[some] / alike.sum(1)[some]
    return -each.mean() if bool(some.any()) else vectors.sum() * 0


def depth_of(encoder: Any) -> int:
    """Blocks that stay as they are: all but the upper third."""
    return len(encoder.blocks) - max(1, len(encoder.blocks) // 3)


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


def take(inputs: Inputs, rows: Tensor, *, trim: bool = True) -> Inputs:
    """Some rows of every column; texts no longer than the longest of them."""
    out = {}
    for name, tensor in inputs.items():
        part = tensor[rows]
        out[name] = part[:, : max(1, int((part > 0).sum(1).max()))] if trim and is_text(part) and len(part) else part
    return out


def is_text(tensor: Tensor) -> bool:
    """Whether a column holds token ids, 0 = padding."""
    return tensor.ndim == 2 and not tensor.is_floating_point()


def lengths_of(inputs: Inputs) -> Tensor:
    """(B,) tokens of each row."""
    first = next(iter(inputs.values()))
    none = torch.ones(len(first), dtype=torch.int64, device=first.device)
    return sum(((tensor > 0).sum(1) for tensor in inputs.values() if is_text(tensor)), none)


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


def padded(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(N, T, D) states and (N, T) which tokens are there, of batches of several lengths."""
    longest = max(known.shape[1] for _, known in parts)
    states = torch.cat([F.pad(one, (0, 0, 0, longest - one.shape[1])) for one, _ in parts])
    return states, torch.cat([F.pad(known, (0, longest - known.shape[1])) for _, known in parts])
