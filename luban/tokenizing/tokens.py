"""Tokens of many texts at once: each distinct piece goes through the tokenizer once, several times faster than text by text.

The pieces are those of byte-level BPE (Radford et al. 2019, section 2.2) with Han and kana characters alone. Its pattern looks ahead, which polars
can't; a mark is set where a run of spaces must be cut. A text that holds the mark itself goes through the tokenizer whole.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import polars as pl

from luban import few
from luban.columns import Ragged

ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}"
MARK = "\uffff"  # no character
PIECES = rf"[{ALONE}]|'s|'t|'re|'ve|'m|'ll|'d| ?[\p{{L}}--[{ALONE}]]+| ?[\p{{N}}--[{ALONE}]]+| ?[^\s\p{{L}}\p{{N}}{ALONE}{MARK}]+|\s+"
BEFORE_THE_LAST = rf"(\s)(\s[^\s{ALONE}])"  # of several spaces the last belongs to what follows
MOST_KNOWN, SHORT = 100_000, 32  # pieces, characters
MOST_WHOLE = 256  # texts that the tokenizer reads sooner by itself, as many as a service answers together
ODD = r"[\s--[ \t\n\r]]|[\x0b\x0c\x1c-\x1f\x85]|" + MARK  # spaces that libraries disagree on


def encode(texts: list[str], tokenizer: Any, most: int, *, cut: str = PIECES) -> Ragged:
    """Ragged int32 token ids, at most so many each. `cut` is the pattern of the pieces that the tokenizer reads one by one."""
    if is_few(texts, tokenizer):
        read = (
            tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            if len(texts) > few.MOST
            else map(partial(tokenizer.encode, add_special_tokens=False), texts)
        )
        ids = [encoding.ids[:most] for encoding in read]
        return Ragged.of(np.array([i for row in ids for i in row], np.int32), [len(row) for row in ids])
    column = pl.Series("piece", texts, dtype=pl.String)
    odd = column.str.contains(ODD).fill_null(False)
    pieces = column.str.replace_all(BEFORE_THE_LAST, f"${{1}}{MARK}${{2}}") if cut == PIECES else column
    pieces = pieces.str.extract_all(cut)
    if odd.any():
        whole = column.to_frame().select(pl.concat_list("piece")).to_series()
        pieces = pl.select(pl.when(odd).then(whole).otherwise(pieces)).to_series()
    flat = pieces.list.explode(empty_as_null=False).alias("piece").to_frame()
    distinct = flat["piece"].unique()
    ids = ids_of(distinct.to_list(), tokenizer)
    known = Ragged.of(np.fromiter((i for row in ids for i in row), np.int32), [len(row) for row in ids])
    code = flat.join(distinct.to_frame().with_row_index("place"), on="piece", how="left", maintain_order="left")["place"]
    taken = known.take(code.to_numpy().astype(np.int64))
    ends = np.r_[0, np.cumsum(taken.lengths)][np.r_[0, np.cumsum(pieces.list.len().to_numpy())].astype(np.int64)]
    lengths = np.diff(ends)
    kept = Ragged(taken.flat(), ends[:-1], np.minimum(lengths, most))
    return Ragged.of(kept.flat(), kept.lengths)


def is_few(texts: list[str], tokenizer: Any) -> bool:
    """Whether the tokenizer reads these sooner by itself; it would find its own marks in a text, where they are text."""
    if len(texts) > MOST_WHOLE or sum(map(len, texts)) > few.MOST_CHARACTERS:
        return False
    return not any(mark in text for mark in marks_of(tokenizer) for text in texts)


@lru_cache(maxsize=16)
def marks_of(tokenizer: Any) -> list[str]:
    """Texts that the tokenizer takes for marks."""
    return [added.content for added in tokenizer.get_added_tokens_decoder().values()]


def ids_of(pieces: list[str], tokenizer: Any) -> list[list[int]]:
    """The tokens of each piece; the short ones are remembered from one call to the next."""
    known = remembered(tokenizer)
    if len(known) > MOST_KNOWN:
        known.clear()
    found = {piece: ids for piece in pieces if (ids := known.get(piece)) is not None}  # another thread may clear them
    new = [piece for piece in pieces if piece not in found]
    read = dict(zip(new, (encoding.ids for encoding in tokenizer.encode_batch_fast(new)), strict=True)) if new else {}
    known.update((piece, ids) for piece, ids in read.items() if len(piece) <= SHORT)
    found |= read
    return [found[piece] for piece in pieces]


@lru_cache(maxsize=4)
def remembered(tokenizer: Any) -> dict[str, list[int]]:
    """Tokens by piece, of one tokenizer."""
    return {}
