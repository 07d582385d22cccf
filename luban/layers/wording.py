"""Tokens as words, for models that answer without a step.

W words of a text, each a tuple of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from luban.roles import PairBatch, Vocabulary

Word = tuple[int, ...]


def bare(tokens: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """The tokens that are text."""
    return [int(token) for token in tokens if 0 <= token < vocabulary.special and token != vocabulary.end]


def words_of(tokens: Sequence[int], vocabulary: Vocabulary) -> list[Word]:
    """A new word at each token that begins one."""
    found: list[list[int]] = []
    for token in bare(tokens, vocabulary):
        if not found or vocabulary.begins[token]:
            found.append([])
        found[-1].append(token)
    return [tuple(word) for word in found]


def pairs_of(batches: Iterable[PairBatch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens of each source, marks included, and of its target."""
    for batch in batches:
        sources, known = batch.source.cpu().numpy(), batch.known.cpu().numpy()
        targets = batch.targets.cpu().numpy()  # type: ignore[union-attr]
        for row in range(len(sources)):
            yield sources[row][known[row]], targets[row][targets[row] >= 0]


def shared(one: Sequence[Word], other: Sequence[Word]) -> float:
    """Twice the words in both over all words, 0 … 1."""
    left: dict[Word, int] = {}
    for word in one:
        left[word] = left.get(word, 0) + 1
    count = 0
    for word in other:
        if left.get(word, 0):
            left[word] -= 1
            count += 1
    return 2 * count / max(1, len(one) + len(other))
