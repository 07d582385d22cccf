"""Losses and scores of models that say what follows; the logits of many tokens are made and forgotten in parts.

B batch, T tokens, D width, V tokens known.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

PART = 2**24  # logits held at once beyond the first few


def nats_of(net: Any, hidden: Tensor, targets: Tensor, smoothing: float = 0.0) -> tuple[Tensor, int]:
    """() sum of -log chance over the targets that are not below 0, and how many they are.

    smoothing: that share of each target is spread over all tokens (Szegedy et al. 2016, section 7).
    """
    known = targets >= 0
    count = int(known.sum())
    if count == 0:
        return hidden.sum() * 0, 0
    hidden, goal = (hidden.flatten(0, 1), targets.flatten()) if count == targets.numel() else (hidden[known], targets[known])
    rows = max(1, PART // net.num_tokens)
    if count <= 2 * rows:
        return entropy(net, hidden, goal, smoothing), count
    parts = [
        checkpoint(entropy, net, hidden[start : start + rows], goal[start : start + rows], smoothing, use_reentrant=False)
        for start in range(0, count, rows)
    ]
    return torch.stack(parts).sum(), count  # type: ignore[arg-type]


def entropy(net: Any, hidden: Tensor, goal: Tensor, smoothing: float) -> Tensor:
    """() sum of -log softmax(logits)[goal]."""
    return F.cross_entropy(whole(net.logits(hidden)), goal, reduction="sum", label_smoothing=smoothing)


def scores(net: Any, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) float64 sums of -log chance of each row's targets, and (B,) how many they are."""
    rows = max(1, PART // (net.num_tokens * max(1, targets.shape[1])))
    found = []
    for start in range(0, len(targets), rows):
        logits, goal = whole(net.logits(hidden[start : start + rows])), targets[start : start + rows]
        nats = F.cross_entropy(logits.transpose(1, 2), goal.clamp(min=0), reduction="none")  # (b, T)
        found.append((nats.double() * (goal >= 0)).sum(1))
    return torch.cat(found), (targets >= 0).sum(1)


def whole(logits: Tensor) -> Tensor:
    """In float32 at least."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def segments_of(tokens: Tensor, *, begin: int | None, end: int) -> Tensor:
    """(B, T) a number for the document of each token: a new one begins at `begin`, or after `end` where nothing begins one."""
    if begin is not None:
        return (tokens == begin).long().cumsum(1)
    return F.pad((tokens[:, :-1] == end).long(), (1, 0)).cumsum(1)
