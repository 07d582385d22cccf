"""A collection as a part of a net: its passages, where each comes from, the search over them, and when to trust what is found.

P passages, B questions, L listed, K in an answer, F kinds of evidence, C characters kept of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.answering.calibration import NEVER
from luban.answering.contexts import written
from luban.answering.scoring import bare
from luban.columns import Array, Columns, Ragged
from luban.data.passages import LONGEST, sentences
from luban.retrieving import terms
from luban.retrieving.bm25 import best
from luban.retrieving.lexical import fill
from luban.retrieving.lexical import sizes_of as sizes_of_keys

ABOUT, TEXT, HEADING, DOCUMENT, BEGIN, END = "\x00about", "\x00text", "\x00heading", "\x00document", "\x00begin", "\x00end"
PLACES = (DOCUMENT, BEGIN, END)
TOKENS = "\x00tokens"
TOGETHER = 32  # passages encoded at once
LISTED = 50  # passages among which the right one is looked for
NAMED = 200  # characters of a heading
LEAST = 12  # characters of a passage that may be a part of a longer answer


def cut_of(name: str) -> str:
    """The column of a cut's keys."""
    return f"\x00{name}"


@dataclass(frozen=True)
class Found:
    """What was found for each question."""

    passages: Tensor  # (B, K) int64, -1 = none
    scores: Tensor  # (B, K) float64
    texts: Tensor  # (B, K, C) int32 code points, -1 after the end
    headings: Tensor  # (B, K, H) int32
    places: Tensor  # (B, K, 3) int64 document, begin, end
    span: Tensor  # (B, 2) int64 of the answer in the first passage
    chance: Tensor  # (B,) float64 that the first passage is right
    found: Tensor  # (B,) bool, whether it is said
    rank: Tensor  # (B,) int64 of the first right passage, -1 = not listed, or not known
    evidence: Tensor  # (B, F) float64
    without: Tensor  # (B, F) float64, the documents that hold the answer left out
    doubt: Tensor  # (B,) float64, the chance that would then be said
    refused: Tensor  # (B,) bool, whether nothing would then be said


@dataclass(frozen=True)
class Hits:
    """What was found for one question."""

    places: Array  # (L,) int64, the best first
    scores: Array  # (L,)
    evidence: Array  # (F,) of the first; 0 where nothing is found


class Library(nn.Module):
    """Passages in buffers, and a search."""

    points: Tensor
    starts: Tensor
    heading_points: Tensor
    heading_starts: Tensor
    places: Tensor  # (P, 3) int64 document, begin, end

    def __init__(self, search: Any, sizes: dict[str, Any], encoder: Any = None) -> None:
        super().__init__()
        self.search, self.encoder = search, encoder
        self.register_buffer("vectors", torch.zeros(sizes["passages"] if encoder else 0, encoder.out_dim if encoder else 0))
        count = sizes["passages"]
        for name, shape, dtype in (
            ("points", (sizes["characters"],), torch.int32),
            ("starts", (count + 1,), torch.int64),
            ("heading_points", (sizes["headings"],), torch.int32),
            ("heading_starts", (count + 1,), torch.int64),
            ("places", (count, 3), torch.int64),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        features = search.evidence_dim + 1
        self.register_buffer("slopes", torch.ones(features, dtype=torch.float64))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.places)

    def fill(self, examples: Columns) -> None:
        """Take the passages among the training examples."""
        kept = examples.take(np.flatnonzero(np.asarray(examples[ABOUT])))
        for name, column in (("", TEXT), ("heading_", HEADING)):
            points = np.asarray(kept[column].flat(), np.int32)
            fill(self.get_buffer(f"{name}points"), points)
            fill(self.get_buffer(f"{name}starts"), np.r_[0, np.cumsum(kept[column].lengths)], len(points))
        fill(self.places, np.stack([np.asarray(kept[name], np.int64) for name in PLACES], 1))
        self.search.index({cut: kept[cut_of(cut)] for cut in self.search.CUTS})
        if self.encoder is not None:
            parts = [self.encoded(kept[TOKENS].take(rows)) for rows in batches(len(kept))]
            fill(self.get_buffer("vectors"), np.concatenate([np.zeros((0, self.encoder.out_dim), np.float32), *parts]))

    @torch.inference_mode()
    def encoded(self, tokens: Ragged) -> Array:
        """(B, D) vectors of length 1."""
        was, device = self.encoder.training, self.get_buffer("vectors").device
        self.encoder.eval()
        padded = torch.from_numpy(tokens.pad(0).astype(np.int64)).to(device)
        found = nn.functional.normalize(self.encoder({self.encoder.columns[0]: padded}).float(), dim=1)
        self.encoder.train(was)
        return found.cpu().numpy()

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """As the search has it."""
        yield from self.search.solve(batches)

    def text(self, place: int) -> str:
        """A passage."""
        return written(self.points[int(self.starts[place]) : int(self.starts[place + 1])].cpu().numpy())

    def heading(self, place: int) -> str:
        """The headings above it."""
        return written(self.heading_points[int(self.heading_starts[place]) : int(self.heading_starts[place + 1])].cpu().numpy())

    def find(self, question: dict[str, Array]) -> tuple[Array, Array]:
        """(P,) scores and (P, F) evidence for a question's keys."""
        if self.encoder is None:
            return self.search.search(question)
        tokens = np.asarray(question["tokens"], np.int32)
        vector = self.encoded(Ragged.of(tokens, [len(tokens)]))[0]
        return self.search.search(question, self.get_buffer("vectors").cpu().numpy() @ vector)

    def hits(self, scores: Array, evidence: Array, without: Array | None = None) -> Hits:
        """The best passages, those of some documents left out."""
        if without is not None:
            scores = np.where(np.isin(self.places[:, 0].cpu().numpy(), without), -np.inf, scores)
        places = best(scores, LISTED)
        places = places[np.isfinite(scores[places])]
        found = scores[places].astype(np.float64)
        if not len(places) or found[0] <= 0:
            return Hits(places, found, np.zeros(evidence.shape[1] + 1))
        second = found[1] if len(found) > 1 else 0.0
        return Hits(places, found, np.r_[evidence[places[0]], (found[0] - second) / found[0]].astype(np.float64))

    def trusted(self, evidence: Array) -> tuple[Array, Array]:
        """(B, F) -> (B,) the chance that what is found is right, and (B,) whether to say it."""
        slopes, offset, threshold = (self.get_buffer(name).cpu().numpy() for name in ("slopes", "offset", "threshold"))
        chance = np.exp(-np.logaddexp(0, -(evidence @ slopes + offset))) * (evidence.any(1) if len(evidence) else 1.0)
        return chance, (chance > threshold) & (chance > 0)

    def trust(self, slopes: Array, offset: float, threshold: float) -> None:
        """Keep what held-out questions told."""
        self.get_buffer("slopes").copy_(torch.from_numpy(np.asarray(slopes, np.float64)))
        self.get_buffer("offset").fill_(offset)
        self.get_buffer("threshold").fill_(min(threshold, NEVER))

    def check_buffers(self) -> None:
        """Raises ValueError where spans lie outside or numbers are not finite: the buffers of a bundle come from a stranger."""
        for name in ("", "heading_"):
            starts, end = self.get_buffer(f"{name}starts"), len(self.get_buffer(f"{name}points"))
            if not bool((starts[0] == 0) & (starts[1:] >= starts[:-1]).all() & (starts[-1] <= end)):
                raise ValueError("passages")
        if not all(bool(torch.isfinite(self.get_buffer(name)).all()) for name in ("slopes", "offset", "threshold")):
            raise ValueError("trust")
        if len(self) and not bool((self.places >= 0).all()):
            raise ValueError("places")
        self.search.check()


def batches(count: int) -> list[Array]:
    """Places of so many passages, some at a time."""
    return [np.arange(at, min(at + TOGETHER, count)) for at in range(0, count, TOGETHER)]


def sizes_of(passages: Columns, cuts: tuple[str, ...]) -> dict[str, Any]:
    """What a library of these passages keeps."""
    plain = {"passages": len(passages), "characters": int(passages[TEXT].lengths.sum()), "headings": int(passages[HEADING].lengths.sum())}
    return plain | {cut: sizes_of_keys(passages[cut_of(cut)]) for cut in cuts}


def holds(passage: str, truths: tuple[str, ...]) -> bool:
    """Whether a passage holds one of the right answers, or is itself a part of one; compared without case, punctuation and articles."""
    for truth in truths:
        wanted, found = bare(truth), bare(passage, truth)
        if wanted and (within(wanted, found) or (len(found) >= LEAST and within(found, wanted))):
            return True
    return False


def within(part: str, whole: str) -> bool:
    """Whether the words of a part stand in the whole."""
    return part in whole if not part.isascii() else f" {part} " in f" {whole} "


def best_sentence(passage: str, question: Array, rarity: Any) -> tuple[int, int]:
    """The span of the sentence that shares most of the question's words, rare ones counting more; of equals the first."""
    asked, found, most = np.unique(question), (0, min(len(passage), LONGEST)), -1.0
    for begin, end in sentences(passage):
        shared = np.intersect1d(terms.keys(passage[begin:end], "words"), asked)
        score = float(rarity(shared).sum())
        if score > most:
            found, most = (begin, end), score
    return found
