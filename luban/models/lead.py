"""lead: the first words of the source, as many as answers usually have; what any summary has to beat.

It solves for the mean number of words of the training answers, and for how much of an answer those first words held on average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from luban.layers.wording import pairs_of, shared, words_of

if TYPE_CHECKING:
    from luban.roles import PairBatch, Vocabulary

ROLE, TAKES = "rewriter", ("text",)
MOST_TRIED = 5_000  # pairs that trust is measured on


class Lead(nn.Module):
    """The first N words."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many."""

        words: Annotated[int, Ge(0), Le(100_000)] = 0
        """Words of an answer; 0 = as the training answers have on average."""

    count: Tensor  # () words of an answer
    trust: Tensor  # () mean share of words in both those first words and the answer

    def __init__(self, config: Lead.Config, vocabulary: Vocabulary, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("trust", torch.tensor(1e-6))

    def rewrite(self, sources: Sequence[np.ndarray]) -> list[tuple[list[int], float]]:
        """The first words, and how much of an answer they usually are."""
        log, count = math.log(max(1e-6, float(self.trust))), int(self.count)
        return [([token for word in words_of(source.tolist(), self.vocabulary)[:count] for token in word], log) for source in sources]

    def solve(self, batches: Iterable[PairBatch]) -> Iterator[float]:
        """Two passes: the number of words, then how good they are."""
        lengths = [len(words_of(target.tolist(), self.vocabulary)) for _, target in pairs_of(batches)]
        self.count.fill_(self.config.words or max(1, round(float(np.mean(lengths)))))
        yield 0.5
        found = []
        for source, target in pairs_of(batches):
            found.append(shared(words_of(source.tolist(), self.vocabulary)[: int(self.count)], words_of(target.tolist(), self.vocabulary)))
            if len(found) == MOST_TRIED:
                break
        self.trust.fill_(max(1e-6, float(np.mean(found))))
        yield 1.0
