"""Whole words as tokens, learnt from texts; what is not in the list is written by its bytes, so nothing is lost. Or symbols between spaces, no others.

A word is a piece of byte-level BPE (Radford et al. 2019, section 2.2): letters, digits or marks with the space before them; Han alone.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache

import numpy as np
import polars as pl

from luban.columns import Ragged
from luban.messages import tr
from luban.tokenizing.tokens import BEFORE_THE_LAST, MARK, PIECES

MOST_WORDS = 1_000_000
FIXED = 257  # token 0, then every byte
LONGEST = 200  # characters


def learn(texts: list[str], most: int) -> list[str]:
    """The commonest pieces that stand there twice, longer than one byte."""
    count: Counter[str] = Counter()
    for start in range(0, len(texts), 10_000):
        count.update(pieces(texts[start : start + 10_000]).list.explode(empty_as_null=False).to_list())
    kept = [word for word, n in count.items() if n > 1 and len(word.encode("utf-8", "replace")) > 1 and len(word) <= LONGEST]
    return sorted(sorted(kept, key=lambda word: (-count[word], word))[: max(0, most - FIXED)])


def pieces(texts: list[str]) -> pl.Series:
    """Lists of pieces that, put together, are the texts."""
    column = pl.Series("piece", texts, dtype=pl.String).str.replace_all(MARK, "\ufffd", literal=True)
    return column.str.replace_all(BEFORE_THE_LAST, f"${{1}}{MARK}${{2}}").str.extract_all(PIECES)


def encode(texts: list[str], serialised: str) -> Ragged:
    """One id a known piece, one a byte of the others."""
    numbers = numbers_of(serialised)
    flat, lengths = [], []
    for row in pieces(texts).to_list():
        start = len(flat)
        for piece in row:
            if (number := numbers.get(piece)) is not None:
                flat.append(number)
            else:
                flat += [byte + 1 for byte in piece.encode("utf-8", "replace")]
        lengths.append(len(flat) - start)
    return Ragged.of(np.array(flat, np.int32), lengths)


@lru_cache(maxsize=4)
def words_of(serialised: str) -> list[str]:
    """The list. Raises ValueError for what `learn` could not have made."""
    found = json.loads(serialised)
    good = isinstance(found, list) and all(isinstance(word, str) and 0 < len(word) <= LONGEST for word in found)
    if not good or found != sorted(set(found)) or len(found) > MOST_WORDS:
        raise ValueError(tr("not a tokenizer of Luban: {why}", why=tr("another kind of tokenizer")))
    return found


@lru_cache(maxsize=4)
def numbers_of(serialised: str) -> dict[str, int]:
    """The id of each word."""
    return {word: FIXED + place for place, word in enumerate(words_of(serialised))}


def bytes_of(serialised: str) -> list[bytes]:
    """What each id stands for."""
    return [b"", *(bytes([byte]) for byte in range(256)), *(word.encode("utf-8", "replace") for word in words_of(serialised))]


def learn_symbols(texts: list[str], most: int) -> list[str]:
    """Everything that stands between spaces, the commonest where there are too many."""
    count = Counter(symbol for text in texts for symbol in text.split() if len(symbol) <= LONGEST)
    return sorted(sorted(count, key=lambda symbol: (-count[symbol], symbol))[: most - 1])


def encode_symbols(texts: list[str], serialised: str) -> Ragged:
    """One id a symbol; 0, which no text can hold, for one that is not known."""
    numbers = symbols_of(serialised)
    rows = [[numbers.get(symbol, 0) for symbol in text.split()] for text in texts]
    return Ragged.of(np.array([id for row in rows for id in row], np.int32), [len(row) for row in rows])


@lru_cache(maxsize=4)
def symbols_of(serialised: str) -> dict[str, int]:
    """The id of each symbol."""
    return {symbol: 1 + place for place, symbol in enumerate(words_of(serialised))}
