"""Columns and spans: taking, joining, shifting, padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from luban.columns import Columns, Ragged, Reject

LISTS = st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=11)


def ragged(lists: list[list[int]]) -> Ragged:
    return Ragged.of(np.array([v for part in lists for v in part], np.int32), [len(part) for part in lists])


@given(LISTS)
def test_spans_give_back_their_lists(lists: list[list[int]]) -> None:
    spans = ragged(lists)
    assert len(spans) == len(lists)
    assert [spans[i].tolist() for i in range(len(lists))] == lists
    assert spans.flat().tolist() == [v for part in lists for v in part]


@given(LISTS, st.integers(1, 9))
def test_padding_fills_on_the_right_and_cuts_at_the_width(lists: list[list[int]], width: int) -> None:
    padded = ragged(lists).pad(-1, width=width)
    assert padded.tolist() == [(part + [-1] * width)[:width] for part in lists]
    longest = max(1, *(len(part) for part in lists)) if len(lists) > 1 else max(1, len(lists[0]))
    assert ragged(lists).pad().shape == (len(lists), longest)


@given(LISTS, st.data())
def test_taking_shares_the_values(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5))
    spans = ragged(lists)
    taken = spans.take(np.array(rows, np.int64))
    assert taken.values is spans.values
    assert [taken[i].tolist() for i in range(len(rows))] == [lists[row] for row in rows]


def test_spans_may_overlap() -> None:
    windows = Ragged(np.arange(7), np.array([0, 1, 4]), np.array([3, 3, 3]))
    assert windows.flat().tolist() == [0, 1, 2, 1, 2, 3, 4, 5, 6]
    assert windows.pad().tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]
    owner, within = windows.places()
    assert owner.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert within.tolist() == [0, 1, 2] * 3


def test_spans_of_vectors_are_padded_to_tensors() -> None:
    spans = Ragged.of(np.arange(10, dtype=np.float32).reshape(5, 2), [2, 0, 3])
    padded = spans.pad(np.nan)
    assert padded.shape == (3, 3, 2)
    assert np.isnan(padded[1]).all()
    assert padded[2, 2].tolist() == [8, 9]


def columns(start: int, count: int) -> Columns:
    data = {"dense": np.arange(start, start + count), "spans": ragged([[i] * (i % 3) for i in range(start, start + count)])}
    return Columns(data, np.arange(count), np.arange(count) + 1, (Reject(count - 1, "dense", "why"),))


def test_joined_parts_are_the_whole_with_rows_and_rejects_in_place() -> None:
    parts = [columns(0, 3).shift(0), columns(3, 5).shift(3)]
    whole = Columns.join(parts)
    assert len(whole) == 8
    assert whole.row.tolist() == list(range(8))
    assert whole["dense"].tolist() == list(range(8))
    assert [whole["spans"][i].tolist() for i in range(8)] == [[i] * (i % 3) for i in range(8)]
    assert whole.size is not None
    assert whole.size.tolist() == [1, 2, 3, 1, 2, 3, 4, 5]
    assert [reject.row for reject in whole.rejects] == [2, 7]


def test_taken_rows_keep_their_source_and_size() -> None:
    taken = columns(10, 5).take(np.array([4, 0]))
    assert taken.row.tolist() == [4, 0]
    assert taken.size is not None
    assert taken.size.tolist() == [5, 1]
    assert "dense" in taken
    assert taken["dense"].tolist() == [14, 10]
    assert taken.rejects == ()
