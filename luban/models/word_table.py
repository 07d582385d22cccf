"""word_table: each word of the source by the word it most often became, in the order of the source; words never met are copied.

Translation by IBM's first model, learnt by expectation and maximisation: Brown et al. 1993, section 4.1. Solved, never stepped.
P pairs of words that stand in one pair of texts, K tokens of a word at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.draw import key_of
from luban.layers.wording import Word, pairs_of, words_of

if TYPE_CHECKING:
    from luban.roles import PairBatch, Vocabulary

ROLE, TAKES = "rewriter", ("text",)
NOTHING = np.iinfo(np.int64).max  # fills the table
LONGEST = 12  # K; a longer word is copied
MOST_WORDS = 100  # of a text that is learnt from; the rest is left out
BYTES = 64  # of a pair of words while it is counted
COPIED = math.log(0.5)  # how far the copy of a word never met is believed


class WordTable(nn.Module):
    """A key for each word met, and the tokens it becomes."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Sweeps and room."""

        sweeps: Annotated[int, Gt(0), Le(100)] = 5
        """Of expectation and maximisation."""
        entries: Annotated[int, Ge(1024), Le(2**22)] = 2**17
        """Words kept at most; those met least go first."""
        pairs: Annotated[int, Ge(10_000), Le(10**9)] = 10_000_000
        """Pairs of words learnt from at most, about 60 bytes each; texts beyond them are left out."""

    keys: Tensor  # (W,) int64 sorted
    becomes: Tensor  # (W, K) int32 tokens, -1 = none
    logs: Tensor  # (W,) logarithm of the chance

    def __init__(self, config: WordTable.Config, vocabulary: Vocabulary, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        room = max(1024, min(config.entries, corpus)) if corpus else config.entries
        self.register_buffer("keys", torch.full((room,), NOTHING))
        self.register_buffer("becomes", torch.full((room, LONGEST), -1, dtype=torch.int32))
        self.register_buffer("logs", torch.zeros(room))

    def rewrite(self, sources: Sequence[np.ndarray]) -> list[tuple[list[int], float]]:
        """Word by word, and the mean logarithm of their chances."""
        keys, becomes, logs = (part.cpu().numpy() for part in (self.keys, self.becomes, self.logs))
        found = []
        for source in sources:
            words = words_of(source.tolist(), self.vocabulary)
            asked = np.array([key_of_word(word, self.tag(source)) for word in words], np.int64)
            places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
            tokens: list[int] = []
            total = 0.0
            for word, key, place in zip(words, asked.tolist(), places.tolist(), strict=True):
                met = keys[place] == key
                tokens += [token for token in becomes[place].tolist() if token >= 0] if met else word
                total += float(logs[place]) if met else COPIED
            found.append((tokens, total / max(1, len(words))))
        return found

    def tag(self, source: np.ndarray) -> int:
        """The language asked for, -1 = there is none."""
        return next((int(token) for token in source[:1] if token >= self.vocabulary.special), -1)

    def weigh(self, batch: PairBatch) -> tuple[float, float]:
        """Bytes held by the table, and by each row while it is counted."""
        begins = np.r_[self.vocabulary.begins, False]  # the last stands for what is no token
        left = (begins[batch.source.cpu().numpy()] & batch.known.cpu().numpy()).sum(1) + 1.0
        right = begins[batch.targets.cpu().numpy()].sum(1) + 1.0  # type: ignore[union-attr]
        pairs = np.minimum(left, MOST_WORDS) * np.minimum(right, MOST_WORDS)
        return len(self.keys) * (16.0 + 4 * LONGEST), BYTES * float(pairs.mean())

    def solve(self, batches: Iterable[PairBatch]) -> Iterator[float]:
        """Count which words stand together, then sweep."""
        met = Together(self.config.pairs)
        for source, target in pairs_of(batches):
            left, right = words_of(source.tolist(), self.vocabulary), words_of(target.tolist(), self.vocabulary)
            if not met.add(self.tag(source), left[:MOST_WORDS], right[:MOST_WORDS]):
                break
        yield 0.3
        chance = np.ones(len(met.unique))
        for sweep in range(self.config.sweeps):
            chance = met.sweep(chance)
            yield 0.3 + 0.6 * (sweep + 1) / self.config.sweeps
        self.fill(met, chance)
        yield 1.0

    def fill(self, met: Together, chance: np.ndarray) -> None:
        """The likeliest word for each source word."""
        sources, targets = met.unique // met.width, met.unique % met.width
        order = np.lexsort((targets, -chance, sources))
        first = order[np.r_[True, np.diff(sources[order]) > 0]] if len(order) else order
        left, right = list(met.left), list(met.right)
        rows = [(met.times[sources[one]], left[sources[one]], right[targets[one]], chance[one]) for one in first.tolist() if sources[one]]
        rows = [row for row in rows if len(row[2]) <= LONGEST]
        rows = sorted(rows, key=lambda row: -row[0])[: len(self.keys)]
        table = sorted((key_of_word(word, tag), becomes, odds) for _, (tag, word), becomes, odds in rows)
        for place, (key, becomes, odds) in enumerate(table):
            self.keys[place], self.logs[place] = key, math.log(max(1e-9, min(1.0, odds)))
            self.becomes[place, : len(becomes)] = torch.tensor(becomes, dtype=torch.int32)


class Together:
    """Words that stand in one pair of texts: (source word, target word, which target word of which text)."""

    def __init__(self, most: int) -> None:
        self.most, self.count, self.places = most, 0, 0
        self.left: dict[tuple[int, Word], int] = {(-1, ()): 0}  # 0: the word that is not there, for what comes from nowhere
        self.right: dict[Word, int] = {}
        self.times: list[int] = [0]
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.made: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, tag: int, left: list[Word], right: list[Word]) -> bool:
        """One pair of texts; False once there is no room."""
        if self.count + (len(left) + 1) * len(right) > self.most and self.count:
            return False
        sources = [0]
        for word in left:
            number = self.left.setdefault((tag, word), len(self.left))
            if number == len(self.times):
                self.times.append(0)
            self.times[number] += 1
            sources.append(number)
        targets = [self.right.setdefault(word, len(self.right)) for word in right]
        owner = np.arange(self.places, self.places + len(targets))
        shape = (len(sources), len(targets))
        parts = (np.array(sources, np.int64)[:, None], np.array(targets, np.int64)[None], owner[None])
        self.parts.append(tuple(np.broadcast_to(part, shape).reshape(-1) for part in parts))  # type: ignore[arg-type]
        self.count, self.places = self.count + len(sources) * len(targets), self.places + len(targets)
        return True

    @property
    def width(self) -> int:
        """Target words met."""
        return max(1, len(self.right))

    @property
    def unique(self) -> np.ndarray:
        """Every pair once: source · width + target."""
        return self.pairs[0]

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs once; for each meeting its pair, and the target word's place."""
        if self.made is None:
            joined = [np.concatenate([part[side] for part in self.parts] or [np.zeros(0, np.int64)]) for side in range(3)]
            self.parts = []
            unique, inverse = np.unique(joined[0] * self.width + joined[1], return_inverse=True)
            self.made = unique, inverse, joined[2]
        return self.made

    def sweep(self, chance: np.ndarray) -> np.ndarray:
        """t(e|f) ← how often f gave e, by the chances before, over all that f gave."""
        unique, pair, place = self.pairs
        share = chance[pair]
        share /= np.bincount(place, share, max(1, self.places))[place]
        count = np.bincount(pair, share, len(unique))
        sources = unique // self.width
        return count / np.maximum(1e-300, np.bincount(sources, count)[sources])


def key_of_word(word: Word, tag: int) -> int:
    """63 bits of a word in a language."""
    return key_of(tag, *word) >> 1
