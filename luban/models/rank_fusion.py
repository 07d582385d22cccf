"""rank_fusion: passages by words, by pieces of words, and by what words go together; each votes with the places it gives.

P passages. Reciprocal rank fusion: Cormack, Clarke and Büttcher 2009, score = Σ 1 / (60 + place). Pieces forgive endings and misspellings, the largest
singular directions of the pieces (Deerwester et al. 1990) other words for the same. Nothing is learnt from questions. With `pretrained`, the vectors of
a sentence encoder vote too.
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
from luban.retrieving.latent import Latent
from luban.retrieving.lexical import Lexical

ROLE, TAKES = "retriever", ("text",)


class RankFusion(nn.Module):
    """Two searches by terms, one by directions."""

    CUTS: ClassVar = ("words", "pieces")
    evidence_dim = 3

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How each search counts."""

        k1: Annotated[float, Ge(0), Le(100)] = K1
        """The smaller, the less a term counts again in the same passage."""
        b: Annotated[float, Ge(0), Le(1)] = B
        """How far a long passage counts less; 0 = not."""
        rank: Annotated[int, Ge(0), Le(1024)] = 100
        """Directions at most; 0 = search by terms alone."""
        smoothing: Annotated[float, Ge(0), Le(10_000)] = 60.0
        """Added to each place before it is inverted: the larger, the less the first places count."""

    def __init__(self, config: RankFusion.Config, sizes: dict[str, Any]) -> None:
        super().__init__()
        self.smoothing = config.smoothing
        self.evidence_dim = 3 + bool(sizes.get("vectors"))
        self.words, self.pieces = (Lexical(sizes[cut], config.k1, config.b) for cut in self.CUTS)
        self.latent = Latent(sizes["pieces"], config.rank)

    def index(self, passages: dict[str, Ragged]) -> None:
        """Keep terms and directions."""
        self.words.index(passages["words"])
        self.pieces.index(passages["pieces"])
        self.latent.index(passages["pieces"], self.pieces.postings)

    def search(self, question: dict[str, Array], cosines: Array | None = None) -> tuple[Array, Array]:
        """(P,) fused scores, (P, 3 or 4) the share of each search by terms, the cosine of directions, and those of an encoder's vectors."""
        found = [self.words.search(question["words"]), self.pieces.search(question["pieces"])]
        cosine = self.latent.search(question["pieces"], self.pieces.postings)
        votes = [scores for scores, _ in found] + ([cosine] if self.latent.rank else []) + ([] if cosines is None else [cosines])
        fused = sum((1 / (self.smoothing + 1 + places(vote)) * (vote > 0) for vote in votes), np.zeros(len(cosine)))
        evidence = [found[0][1], found[1][1], cosine] + ([] if cosines is None else [cosines])
        return fused, np.stack(evidence, 1).astype(np.float32)

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """Nothing is left to do."""
        yield 1.0

    def check(self) -> None:
        """Raises ValueError for postings that cannot be."""
        self.words.check()
        self.pieces.check()


def places(scores: Array) -> Array:
    """(P,) how many stand before each; of equals the first comes first."""
    out = np.empty(len(scores), np.int64)
    out[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return out
