"""bm25: passages by the words they share with a question, rare ones first; the rung below every other search.

P passages. Robertson and Zaragoza 2009, eq. 3.15; of Han and kana pairs of neighbours are the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from torch import nn

from luban.columns import Array, Ragged
from luban.retrieving.bm25 import K1, B
from luban.retrieving.lexical import Lexical

ROLE, TAKES = "retriever", ("text",)


class Bm25(nn.Module):
    """Postings of words."""

    CUTS: ClassVar = ("words",)
    evidence_dim = 1

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How a word's count and a passage's length count."""

        k1: Annotated[float, Ge(0), Le(100)] = K1
        """The smaller, the less a word counts again in the same passage."""
        b: Annotated[float, Ge(0), Le(1)] = B
        """How far a long passage counts less; 0 = not."""

    def __init__(self, config: Bm25.Config, sizes: dict[str, Any]) -> None:
        super().__init__()
        self.words = Lexical(sizes["words"], config.k1, config.b)

    def index(self, passages: dict[str, Ragged]) -> None:
        """Keep the passages' words."""
        self.words.index(passages["words"])

    def search(self, question: dict[str, Array], cosines: Array | None = None) -> tuple[Array, Array]:
        """(P,) scores, (P, 1) their share of what the question could score."""
        scores, share = self.words.search(question["words"])
        return scores, share[:, None].astype(np.float32)

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """Nothing is left to do."""
        yield 1.0

    def check(self) -> None:
        """Raises ValueError for postings that cannot be."""
        self.words.check()
