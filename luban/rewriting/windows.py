"""Sources longer than a model reads: cut at ends of sentences, answered one after the other, and put together again.

T tokens of a source, W windows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from luban.rewriting.segmenting import ANY_HAN
from luban.tokenizing.tokenizer import bytes_of

ENDS = (".", "!", "?", "…", "。", "！", "？", "；", ";", "\n")
PUNCTUATION = "，。！？；：、）」』”’"


@lru_cache(maxsize=4)
def ends_of(form: str, serialised: str) -> np.ndarray:
    """(V,) bool, whether a sentence may end with the token."""
    return np.array([raw.decode("utf-8", "replace").strip(" ").endswith(ENDS) for raw in bytes_of(form, serialised)])


@lru_cache(maxsize=4)
def begins_of(form: str, serialised: str) -> np.ndarray:
    """(V,) bool, whether a word begins with the token: behind a space, or without letters of words before it."""
    texts = [raw.decode("utf-8", "replace") for raw in bytes_of(form, serialised)]
    return np.array([text[:1].isspace() or (text != "" and (not text[0].isalnum() or bool(ANY_HAN.match(text[0])))) for text in texts])


def cut(tokens: np.ndarray, ends: np.ndarray, begins: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Spans of at most so many tokens, without a gap: cut behind the last end of a sentence in the second half, else before a word, else anywhere."""
    spans, begin = [], 0
    while len(tokens) - begin > most:
        here = tokens[begin : begin + most + 1]
        sentences = np.flatnonzero(ends[here[:-1]]) + 1  # (n,) where the next one would begin
        words = np.flatnonzero(begins[here[1:]]) + 1
        places = next(
            (found for found in (sentences[sentences > most // 2], words[words > most // 2], sentences, words) if len(found)), None
        )
        size = most if places is None else int(places[-1])
        spans.append((begin, begin + size))
        begin += size
    return [*spans, (begin, len(tokens))]


def joined(parts: list[str]) -> tuple[str, list[int]]:
    """The parts as one text, and where in it (characters) all but the first begin; a space between them where neither edge is Han."""
    whole, joins = "", []
    for part in parts:
        bare = part.strip(" ")
        if whole and bare:
            tight = whole[-1].isspace() or is_tight(whole[-1]) or is_tight(bare[0])
            whole += "" if tight else " "
        if joins or whole:
            joins.append(len(whole))
        whole += bare
    return whole, joins[: len(parts) - 1]


def is_tight(character: str) -> bool:
    """Whether no space stands beside it."""
    return bool(ANY_HAN.match(character)) or character in PUNCTUATION
