"""The upper blocks of a pretrained encoder tuned on few labels, over what the lower blocks make of each row once.

N rows, B rows of a step, T tokens, D width. Supervised contrast: Khosla et al. 2020, eq. 2; before a linear head, on few labels: Tunstall et al. 2022
(SetFit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.roles import Inputs

LONGEST = 96  # tokens of a text that tuning looks at
ROWS = 32  # of a step
POOL = 8  # steps whose rows are put in order of length, so that little is padded
TEMPERATURE = 0.1
RATE = 1e-4


@dataclass(frozen=True)
class Lower:
    """What the blocks that stay as they are say of each row."""

    states: Tensor  # (N, T, D)
    known: Tensor  # (N, T) which tokens are there
    depth: int  # of those blocks

    def __len__(self) -> int:
        return len(self.known)

    @property
    def lengths(self) -> Tensor:
        """(N,) tokens of each row."""
        return self.known.sum(1)

    def take(self, rows: Tensor) -> Lower:
        """Some rows, no longer than the longest of them."""
        known = self.known[rows]
        longest = int(known.sum(1).max())
        return Lower(self.states[rows][:, :longest], known[:, :longest], self.depth)


@torch.no_grad()
def lowered(encoder: Any, inputs: Inputs) -> Lower:
    """The states of all rows below the upper blocks, of the first tokens of each text."""
    depth = depth_of(encoder)
    short = {name: tensor[:, :LONGEST] if is_text(tensor) else tensor for name, tensor in inputs.items()}
    order = lengths_of(short).argsort(stable=True)
    parts = [encoder.below(take(short, at), depth) for at in order.split(ROWS)]
    longest, back = max(known.shape[1] for _, known in parts), order.argsort()
    states = torch.cat([F.pad(one, (0, 0, 0, longest - one.shape[1])) for one, _ in parts])
    return Lower(states[back], torch.cat([F.pad(known, (0, longest - known.shape[1])) for _, known in parts])[back], depth)


@torch.no_grad()
def vectors(encoder: Any, lower: Lower) -> Tensor:
    """(N, D) of unit length, by the upper blocks as they are now."""
    order = lower.lengths.argsort(stable=True)
    parts = [lower.take(at) for at in order.split(ROWS)]
    found = torch.cat([F.normalize(encoder.above(part.states, part.known, part.depth), dim=1) for part in parts])
    return found[order.argsort()]


@torch.enable_grad()
def tune(encoder: Any, lower: Lower, target: Tensor, way: str, passes: int) -> None:
    """Train the upper blocks: rows of one label are drawn together (`contrastive`), or told apart by a throw-away head (`classified`)."""
    learnt = [p for block in encoder.blocks[lower.depth :] for p in block.parameters()]
    classes = nn.Linear(encoder.out_dim, max(2, int(target.max()) + 1)) if way == "classified" else None
    groups: list[dict[str, Any]] = [{"params": learnt, "rate": RATE}]
    groups += [{"params": list(classes.parameters()), "rate": 30 * RATE}] if classes is not None else []
    optimizer, draw = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01, fused=True), torch.Generator().manual_seed(0)
    for parameter in learnt:
        parameter.requires_grad_(True)
    steps = passes * -(-len(target) // ROWS)
    for step, at in enumerate(at for _ in range(passes) for at in batches(lower.lengths, draw)):
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * min(1.0, (step + 1) / (0.1 * steps)) * (1 - step / steps)
        part = lower.take(at)
        found = encoder.above(part.states, part.known, part.depth)
        loss = contrast(found, target[at]) if classes is None else F.cross_entropy(classes(F.normalize(found, dim=1)), target[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for parameter in learnt:
        parameter.requires_grad_(False)


def batches(lengths: Tensor, draw: torch.Generator) -> Iterator[Tensor]:
    """Every row once, in a drawn order; of many rows, those of a pool that are alike in length come together."""
    order = torch.randperm(len(lengths), generator=draw)
    if len(order) < POOL * ROWS:
        yield from order.split(ROWS)
        return
    for pool in order.split(POOL * ROWS):
        several = pool[lengths[pool].argsort(stable=True)].split(ROWS)
        yield from (several[place] for place in torch.randperm(len(several), generator=draw).tolist())


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


def operations(encoder: Any, inputs: Inputs) -> float:
    """Floating-point operations of one pass over the rows, padding included: 6 a weight and token (Kaplan et al. 2020, section 2.1)."""
    weights = sum(p.numel() for block in encoder.blocks[depth_of(encoder) :] for p in block.parameters())
    lengths = lengths_of(inputs).clamp(max=LONGEST)
    tokens = int(lengths.max()) * len(lengths) if len(lengths) < POOL * ROWS else int(lengths.sum())
    return 6.0 * weights * tokens


def depth_of(encoder: Any) -> int:
    """Blocks that stay as they are: all but the upper third."""
    return len(encoder.blocks) - max(1, len(encoder.blocks) // 3)


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
    """(N,) tokens of each row, 1 more where a column is none."""
    first = next(iter(inputs.values()))
    none = torch.ones(len(first), dtype=torch.int64, device=first.device)
    return sum(((tensor > 0).sum(1) for tensor in inputs.values() if is_text(tensor)), none)
