"""From scores of beginnings and ends to spans of characters. W windows, T tokens, B questions, L tokens of the longest answer.

Devlin et al. 2019, section 4.3: a span scores S·T_i + E·T_j, no answer S·C + E·C; over windows the best span counts, and the lowest of no answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NOTHING = -1e30


@dataclass(frozen=True)
class Best:
    """The best span of each window."""

    score: Tensor  # (W,) float64
    null: Tensor  # (W,) float64
    first: Tensor  # (W,) int64, place of a token in the window
    last: Tensor  # (W,)


def best_spans(scores: Tensor, able: Tensor, longest: int) -> Best:
    """(W, T, 2) scores, (W, T) which tokens an answer may hold -> the best pair i ≤ j < i + L; of equals the first and shortest."""
    begin, end = scores.double().masked_fill(~able[..., None], NOTHING).unbind(-1)  # (W, T)
    longest = min(longest, scores.shape[1])
    best = torch.full_like(begin, 2 * NOTHING)
    width = torch.zeros_like(best, dtype=torch.int64)
    for more in range(longest):
        pair = begin[:, : begin.shape[1] - more] + end[:, more:]
        better = pair > best[:, : pair.shape[1]]
        best[:, : pair.shape[1]] = torch.where(better, pair, best[:, : pair.shape[1]])
        width[:, : pair.shape[1]] = torch.where(better, more, width[:, : pair.shape[1]])
    score, first = best.max(1)
    null = scores[:, 0].double().sum(1)
    return Best(score, null, first, first + width.gather(1, first[:, None])[:, 0])


def by_question(best: Best, owner: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B,) the window with the best span of each question, and (B,) how much that span scores above no answer."""
    score = torch.full((count,), 2 * NOTHING, dtype=torch.float64, device=owner.device).scatter_reduce(0, owner, best.score, "amax")
    null = torch.full_like(score, -2 * NOTHING).scatter_reduce(0, owner, best.null, "amin")
    place = torch.arange(len(owner), device=owner.device)
    place = torch.where(best.score == score[owner], place, len(owner))
    window = torch.full((count,), len(owner), device=owner.device).scatter_reduce(0, owner, place, "amin")
    return window.clamp(max=max(0, len(owner) - 1)), (score - null).clamp(NOTHING, -NOTHING)


def cut(text: Tensor, begin: Tensor, end: Tensor, width: int) -> Tensor:
    """(B, C) code points, (B,) spans -> (B, width) int32, -1 after the end."""
    place = begin[:, None] + torch.arange(width, device=text.device)  # (B, width)
    padded = text if text.shape[1] else text.new_full((len(text), 1), -1)
    return padded.gather(1, place.clamp(max=padded.shape[1] - 1)).masked_fill(place >= end[:, None], -1).int()
