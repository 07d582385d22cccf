"""copy_source: the source itself as the answer, no longer than answers are; what any translation has to beat.

It solves for the longest answer of the training rows, and for how much of an answer the source held on average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from luban.layers.wording import bare, pairs_of, shared, words_of

if TYPE_CHECKING:
    from luban.roles import PairBatch, Vocabulary

ROLE, TAKES = "rewriter", ("text",)


class CopySource(nn.Module):
    """The first tokens of the source, as many as the longest answer has."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to set."""

    longest: Tensor  # () tokens of the longest answer
    trust: Tensor  # () mean share of words in both source and answer

    def __init__(self, config: CopySource.Config, vocabulary: Vocabulary, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.register_buffer("longest", torch.tensor(0))
        self.register_buffer("trust", torch.tensor(1e-6))

    def rewrite(self, sources: Sequence[np.ndarray]) -> list[tuple[list[int], float]]:
        """The source, and how much of an answer it usually is."""
        log = math.log(max(1e-6, float(self.trust)))
        return [(bare(source.tolist(), self.vocabulary)[: int(self.longest)], log) for source in sources]

    def solve(self, batches: Iterable[PairBatch]) -> Iterator[float]:
        """One pass."""
        longest, found = 0, []
        for source, target in pairs_of(batches):
            longest = max(longest, len(bare(target.tolist(), self.vocabulary)))
            found.append(shared(words_of(source.tolist(), self.vocabulary), words_of(target.tolist(), self.vocabulary)))
        self.longest.fill_(longest)
        self.trust.fill_(max(1e-6, float(np.mean(found))))
        yield 1.0
