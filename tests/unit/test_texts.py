"""Texts of several columns in a row, by hand; who shares a vocabulary."""

from __future__ import annotations

import polars as pl
import torch

from luban.layers.texts import in_a_row
from luban.supervised import assign, build, fit_inputs

TITLES = ["red shoe", "", "blue hat", "red hat"]
TABLE = pl.DataFrame({"title": TITLES, "body": ["a shoe that is red", "no title here", None, "hat"], "tag": TITLES})


def test_columns_follow_each_other_without_gaps() -> None:
    tokens, columns = in_a_row([torch.tensor([[5, 6, 0], [0, 0, 0], [7, 0, 0]]), torch.tensor([[8, 0], [9, 3], [0, 0]])])
    assert tokens.tolist() == [[5, 6, 8], [9, 3, 0], [7, 0, 0]]
    assert columns[tokens > 0].tolist() == [0, 0, 1, 1, 1, 0]


def test_one_column_is_left_as_it_is() -> None:
    text = torch.tensor([[5, 0], [6, 7]])
    assert in_a_row([text])[0] is text


def test_columns_of_the_same_options_share_a_vocabulary() -> None:
    text = {"kind": "text"}
    specs = fit_inputs({"title": text, "body": text, "tag": text | {"vocabulary": 300}}, TABLE)
    assert specs["title"]["tokenizer"] == specs["body"]["tokenizer"] != specs["tag"]["tokenizer"]
    assert list(specs) == ["title", "body", "tag"]


def test_other_vocabularies_and_named_encoders_stay_apart() -> None:
    text, model = {"kind": "text"}, {"kind": "lstm", "size": "tiny"}
    specs = fit_inputs({"title": text, "body": text, "tag": text | {"vocabulary": 300}}, TABLE)
    assert [list(group) for _, group in assign(dict.fromkeys(specs, "text"), model)] == [["title", "body", "tag"]]
    assert [encoder.texts.columns for encoder in build(model, specs, 2, aim="label").encoders] == [["title", "body"], ["tag"]]  # type: ignore[union-attr]
    named = assign(dict.fromkeys(specs, "text"), model | {"encoders": {"title": "ngrams"}})
    assert [group for _, group in named] == [["title"], ["body", "tag"]]
