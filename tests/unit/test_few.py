"""Few rows are read to the very arrays that many are: all kinds, missing and wrong cells, other types, Chinese."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import polars as pl
import pytest

from luban import few
from luban.catalog import load
from luban.columns import Ragged
from luban.tokenizing import tokens

TEXTS = [
    None, "", " ", "很好，房间 很大", "good  room\n", "ＯＫ 吧\u3000", "\x1c a \x1f", "\u200b", "🙂🙂", "naïve's 3.5%", "NA", "null", "-", "<pad>", "it's\uffff", "a  b\tc \r\n d",
    "１２", "東京タワー", "  two   spaces  ", "\u00a0x\u2009", "\x85", "don't 'S", "\ufeffbom", "e\u0301",
]  # fmt: skip
NUMBERS = [
    None, 0.0, -0.0, 1.5, -7.0, 1e300, float("inf"), float("nan"), 2.0**53, "3", "-3.25", " 4 ", "1,234.5", "12%", "1e5", "+5", ".5", "5.", "1_000", "inf", "NaN",
    "?", "many", "", "00012.500", "999999999999999", "0.1", "123456789012345678901234567890", "\u30001\u3000", "٣", True, False, 7, -(2**62), "2024", "0x10", "1 2",
]  # fmt: skip
NAMES = [
    None,
    "",
    " Wien ",
    "北京",
    "上海",
    "x",
    1,
    2.0,
    2.5,
    True,
    False,
    "1",
    "true",
    "2",
    -3,
    1e20,
    float("nan"),
    float("inf"),
    "\u3000Wien",
    "\x1fWien",
    0.0,
    -0.0,
    2**53,
]
DATES = [
    None, "", "2024-02-29", "2023-02-29", "2024-1-2", " 2024-05-06 ", "NA", "0001-01-01", "9999-12-31", "2024-05-06T07:08:09", "2024-13-01", "1969-12-31", "never", "20240506", "None",
    "0000-01-01", "2024-00-10", "٢٠٢٤-٠١-٠١",
]  # fmt: skip
TAGS = [None, "", "热|new", " new | x y ", "['热', 'new']", "|", "other", "热", "(a|热)", '"new"', "new\u3000|热", "|||new", "'"]
CELLS = {"text": TEXTS, "number": NUMBERS, "category": NAMES, "date": DATES, "tags": TAGS}


def columns(kind: str, seed: int) -> list[pl.Series]:
    """Every cell alone, and draws of some of one type, or of any."""
    rng, cells = random.Random(seed), CELLS[kind]
    groups: list[list[Any]] = [[cell] for cell in cells]
    for wanted in (str, int, float, bool, None):
        own = [cell for cell in cells if cell is None or wanted is None or type(cell) is wanted]
        groups += [rng.choices(own, k=rng.randint(1, few.MOST)) for _ in range(30)]
    if kind == "tags":
        groups += [[["热", "new"]], [["new"], None, []], [[" new", "x y"]]]
    return [pl.Series("c", group, strict=False) for group in groups] + [pl.Series("c", [], dtype=pl.String)]


def same(a: Any, b: Any) -> None:
    """To the bit, and of one type."""
    for one, other in zip(a, b, strict=True):
        if isinstance(one, Ragged):
            same((one.flat(), one.lengths), (other.flat(), other.lengths))
        elif isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other


@pytest.mark.parametrize(("kind", "seed"), list(itertools.product(CELLS, range(3))))
def test_few_are_read_as_many(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load("kinds", kind)
    specs = [found.fit(found.demo(60, 1), found.Config())]
    if kind == "date":
        specs += [specs[0] | {"format": "native"}, specs[0] | {"format": "%d.%m.%Y"}]
    if kind == "category":
        specs += [{"kind": "category", "names": ["-3", "0", "1", "2", "9007199254740992", "false", "true", "Wien"]}]
    if kind == "text":
        specs += [specs[0] | {"lowercase": False, "max_length": 3}]
        specs += [found.fit(found.demo(60, 1), found.Config(tokenizer="wordpiece", vocabulary=300, lowercase=low)) for low in (True, False)]
    quick = 0
    for series, spec in itertools.product(columns(kind, seed), specs):
        monkeypatch.setattr(few, "MOST", 8)
        fast = found.encode(series, spec)
        monkeypatch.setattr(few, "MOST", -1)
        slow = found.encode(series, spec)
        same(fast, slow)
        quick += 1
    assert quick > 100


def test_most_cells_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the one for many, whatever they are: else the tests above would hold it against itself."""
    monkeypatch.setattr(tokens, "ids_of", None)
    assert few.numbers(pl.Series(["3", " -4.5 ", None]), ("",)) is not None
    assert few.numbers(pl.Series(["many"]), ("",)) is None
    assert few.names(pl.Series([1.0, None])) == ["1", None]
    assert few.names(pl.Series([1.5])) is None
    assert few.days(pl.Series(["2024-01-02"]), "native", ()) is not None
    assert few.sets(pl.Series(["a|b"]), "|") == [["a", "b"]]
    assert few.numbers(pl.Series(range(9)), ()) is None
    text = load("kinds", "text")
    for tokenizer in ("bytes", "wordpiece"):
        spec = text.fit(text.demo(60, 1), text.Config(tokenizer=tokenizer))
        assert len(text.encode(pl.Series(["很好 good"]), spec).values) == 1
