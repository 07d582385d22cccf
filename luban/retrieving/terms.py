"""What search compares: words, of Han and kana runs the pairs of neighbours; or the pieces of both, which forgive endings and misspellings.

Case and width are folded (NFKC). A term is known by 64 bits of a hash, so that no list of words need be kept.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from luban.columns import Array

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
RUNS = re.compile(rf"[{IDEOGRAPHS}]+|[^\W_{IDEOGRAPHS}]+")
FIRST = re.compile(rf"[{IDEOGRAPHS}]")
PIECE = 4  # characters of a piece of a word, its ends marked
LONGEST = 64  # characters of a word that count


def folded(text: str) -> str:
    """Of one case and width."""
    return unicodedata.normalize("NFKC", text).lower()


def words(text: str) -> Iterator[str]:
    """Words, and pairs of neighbours of Han and kana; a character alone is itself."""
    for run in RUNS.findall(folded(text)):
        if FIRST.match(run):
            yield from (run[place : place + 2] for place in range(max(1, len(run) - 1)))
        else:
            yield run[:LONGEST]


def pieces(text: str) -> Iterator[str]:
    """Four neighbours within each word, its ends marked; single characters and pairs of Han and kana."""
    for run in RUNS.findall(folded(text)):
        if FIRST.match(run):
            yield from run
            yield from (run[place : place + 2] for place in range(len(run) - 1))
        else:
            marked = f"<{run[:LONGEST]}>"
            yield from (marked[place : place + PIECE] for place in range(max(1, len(marked) - PIECE + 1)))


CUTS = {"words": words, "pieces": pieces}


def keys(text: str, cut: str) -> Array:
    """(T,) int64, one for each term as it stands."""
    return np.fromiter((key(term) for term in CUTS[cut](text)), np.int64)


@lru_cache(maxsize=200_000)
def key(term: str) -> int:
    """64 bits of a term, signed."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True)
