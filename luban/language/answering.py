"""Teaching answers to sources: pairs as a batch, the loss by the teacher's tokens, scores, and lengths that make batches without gaps.

B pairs, S tokens of the longest source, T of the longest answer with its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.language.causal import nats_of, scores

NOTHING = -1  # a target that is none
GROWTH = 1.05  # lengths within this factor count as alike


@dataclass(frozen=True)
class Pairs:
    """A batch: sources, and answers with the teacher's token before each of theirs."""

    source: Tensor  # (B, S) int64, 0 beyond the end
    known: Tensor  # (B, S) bool, which tokens are there
    said: Tensor  # (B, T) int64 what stood before each target
    targets: Tensor  # (B, T) int64, -1 beyond the end


def pairs_of(sources: Sequence[np.ndarray], answers: Sequence[np.ndarray], *, start: Sequence[int], end: int) -> Pairs:
    """Answers are begun with `start`, of which only what follows the first token is not asked for, and ended with `end`."""
    source, known = filled(sources, 0)
    whole = [np.concatenate([np.asarray(start, np.int64), np.asarray(answer, np.int64), [end]]) for answer in answers]
    said, _ = filled([row[:-1] for row in whole], 0)
    targets, _ = filled([np.r_[np.full(len(start) - 1, NOTHING), row[len(start) :]] for row in whole], NOTHING)
    return Pairs(source, known, said, targets)


def filled(rows: Sequence[np.ndarray], empty: int) -> tuple[Tensor, Tensor]:
    """(B, longest) int64 with `empty` beyond the end, and which are there."""
    lengths = np.array([len(row) for row in rows], np.int64)
    out = np.full((len(rows), max(1, int(lengths.max(initial=0)))), empty, np.int64)
    there = np.arange(out.shape[1]) < lengths[:, None]
    if len(rows):
        out[there] = np.concatenate([np.asarray(row, np.int64) for row in rows])
    return torch.from_numpy(out), torch.from_numpy(there)


def loss(net: Any, pairs: Pairs, smoothing: float = 0.0) -> tuple[Tensor, int]:
    """() sum of -log chance of the teacher's tokens, and how many they are: divided, a loss that long answers weigh no more in than short ones."""
    memory = net.encode(pairs.source, pairs.known)
    return nats_of(net, net.hidden(pairs.said, memory), pairs.targets, smoothing)


def judged(net: Any, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(B,) float64 sums of -log chance of each given answer, its end too, and (B,) how many tokens they are."""
    return scores(net, net.hidden(pairs.said, net.encode(pairs.source, pairs.known)), pairs.targets)


def confidence(nats: Tensor, count: Tensor) -> Tensor:
    """(B,) in [0, 1]: the geometric mean of the tokens' chances, as `Hypothesis.confidence` has it; 0 for no tokens."""
    return torch.where(count > 0, (-nats / count.clamp(min=1)).exp(), 0.0)


def sizes(sources: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(N,) lengths of both sides -> (N,) float64 by which the sampler makes batches.

    Pairs of like sums stand together, within a factor of 1.05, and among those the ones with a like share of source, so that neither
    side is padded much. The number is the sum of both lengths to within that factor.
    """
    total = np.maximum(sources + answers, 1).astype(np.float64)
    bucket = np.floor(np.log(total) / np.log(GROWTH))
    share = sources / total * (1 - 1e-9)
    turned = np.where(bucket % 2 == 0, share, 1 - 1e-9 - share)  # there and back: neighbours at the edges are alike too
    return GROWTH ** (bucket + turned)


def padding(sources: np.ndarray, answers: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of the cells of these batches, of both sides, that hold nothing."""
    used = sum(int(sources[rows].sum() + answers[rows].sum()) for rows in batches)
    cells = sum(len(rows) * int(sources[rows].max() + answers[rows].max()) for rows in batches)
    return 1 - used / max(1, cells)
