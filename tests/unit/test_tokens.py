"""Pieces encoded once each give the tokens that the tokenizer gives text by text."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luban.kinds.text import Text, normalise, open_tokenizer
from luban.tokenizing import tokens

WORDS = [
    "it's",
    "we'll",
    "don't",
    "a1b2",
    "３４",
    "好的",
    "ひらがな",
    "カタカナ",
    "한국어",
    "naïve",
    "x²",
    "½",
    "…",
    "!!",
    "🙂👍🏽",
    "e\u0301",
    "〇",
    "々",
    "٣",
]
SPACES = [
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    " \n",
    "\n ",
    "\r\n",
    "\u3000",
    "\u00a0",
    "\u2003",
    "\x1c",
    "\u200b",
    "\x85",
    "\uffff",
    "'",
    "",
]
SPEC = Text.fit(
    pl.Series("x", [f"{word} {word}{space}{other}" for word in WORDS for other in WORDS for space in SPACES[:9]]), Text.Config()
)
TOKENIZER = open_tokenizer(SPEC["tokenizer"])

parts = st.one_of(st.sampled_from(WORDS), st.sampled_from(SPACES), st.text(max_size=4))


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(st.lists(parts, max_size=9).map("".join), max_size=6))
@example(texts=["a   b", "a  好", "a \n", "  ", "", "好  ", "\n\n\nx", "a' s"])
def test_as_text_by_text(texts: list[str]) -> None:
    texts = [normalise(text, True) for text in texts]
    found = tokens.encode(texts, TOKENIZER, 10_000)
    assert [found[place].tolist() for place in range(len(texts))] == [TOKENIZER.encode(text).ids for text in texts]


@pytest.mark.parametrize("most", [1, 3, 7])
def test_long_texts_are_cut(most: int) -> None:
    texts = ["one two three four five six seven eight", "", "好好好好好好好好好"]
    found = tokens.encode(texts, TOKENIZER, most)
    assert [found[place].tolist() for place in range(3)] == [TOKENIZER.encode(text).ids[:most] for text in texts]
    assert len(found.values) == int(np.minimum([len(TOKENIZER.encode(text).ids) for text in texts], most).sum())


def test_no_texts() -> None:
    assert len(tokens.encode([], TOKENIZER, 5)) == 0
