"""From event logs to examples: ids, histories, targets, what is hidden, negatives; each by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from luban.columns import Columns, Ragged
from luban.data.splits import Splitting, divide
from luban.draw import Draw
from luban.errors import DataError, RecipeError
from luban.recommending import batch, ids
from luban.recommending.examples import arrange, questions
from luban.tasks.recommendation import Recommendation

NAMES = ["u1", "张三", "", "u0", "u-7"]


@pytest.mark.parametrize("names", [pl.Series(NAMES), pl.Series([7, -3, 10**12, 0]), pl.Series([7.0, None, 3.0])])
def test_ids_are_kept_as_they_were_given(names: pl.Series) -> None:
    spec = ids.fit(names)
    codes = ids.encode(names, spec)
    known = names.drop_nulls()
    assert sorted(set(codes[codes >= 0].tolist())) == list(range(known.n_unique()))
    decoded = ids.decode(codes, spec)
    assert [None if name is None else name for name in names.to_list()] == decoded
    assert (codes == ids.NONE).sum() == names.null_count()


def test_strangers_are_told_apart_and_never_known() -> None:
    spec = ids.fit(pl.Series([1, 2, 3]))
    codes = ids.encode(pl.Series([9, 1, 9, 8, None]), spec)
    assert codes[1] == 0
    assert codes[0] == codes[2] < ids.NONE
    assert codes[3] not in (codes[0], ids.NONE)
    assert codes[4] == ids.NONE
    np.testing.assert_array_equal(ids.encode(pl.Series(["2", "x"]), spec) >= 0, [True, False])


def test_ten_million_ids_need_no_sixteen_bits() -> None:
    """Codes beyond 2¹⁶ and a table that stays small."""
    names = pl.Series(np.arange(0, 30_000_000, 3))
    spec = ids.fit(names)
    assert spec["count"] == 10_000_000
    assert len(spec["packed"]) < 1_000_000
    assert ids.encode(pl.Series([29_999_997]), spec).tolist() == [9_999_999]


def test_a_table_that_is_none_is_refused() -> None:
    spec = ids.fit(pl.Series(["a", "b", "c"]))
    with pytest.raises(ValueError, match="length"):
        ids.check(spec | {"size": 2}, "state.json")
    with pytest.raises(ValueError, match="sorted"):
        ids.check(spec | {"packed": ids.packed("text", 3, b"b\0a\0c")["packed"]}, "state.json")
    with pytest.raises(RecipeError):
        ids.check(spec | {"kind": "code"}, "state.json")
    with pytest.raises(DataError) as caught:
        ids.fit(pl.Series([None, None], dtype=pl.String))
    assert caught.value.code == "L285"


# --- examples


def events(rows: list[tuple[int, int, float]]) -> Columns:
    """(user, item, time)."""
    table = np.array(rows, float)
    data = {"user": table[:, 0].astype(np.int64), "item": table[:, 1].astype(np.int64), "time": table[:, 2]}
    return Columns(data, np.arange(len(rows)))


ROWS = [(1, 5, 3), (0, 2, 1), (1, 4, 1), (0, 2, 9), (1, 6, 8), (0, 3, 5), (1, 5, 7), (2, 9, 1), (1, -77, 9)]


def test_histories_hold_each_item_once_at_its_latest_place() -> None:
    made = arrange(events(ROWS), None)
    assert made["user"].tolist() == [0, 1, 2]
    assert [made["history"][i].tolist() for i in range(3)] == [[3, 2], [4, 5, 6], [9]]
    assert [made["amount"][i].tolist() for i in range(3)] == [[1, 2], [1, 2, 1], [1]]
    assert made["target"].lengths.tolist() == [0, 0, 0]
    assert made.row.tolist() == [3, 8, 7]


def test_targets_are_asked_once_and_never_what_was_met() -> None:
    asked = np.zeros(len(ROWS), bool)
    asked[[3, 4, 6, 8]] = True  # item 2 of user 0 and item 5 of user 1 were met before
    made = arrange(events(ROWS), asked)
    assert made["user"].tolist() == [1], "a user whose targets were all met is not asked"
    assert made["target"][0].tolist() == [6, -77]
    assert made["history"][0].tolist() == [4, 5]
    again = arrange(events(ROWS), asked, repeat=True)
    assert again["user"].tolist() == [0, 1]
    assert sorted(again["target"][1].tolist()) == [-77, 5, 6]


def test_a_profile_narrows_the_history_but_not_what_is_hidden() -> None:
    asked = np.array([False] * 4 + [True] + [False] * 4)
    profile = np.array([False, False, True] + [False] * 6)
    made = arrange(events(ROWS), asked, profile=profile)
    assert made["history"][0].tolist() == [4]
    assert sorted(made["shunned"][0].tolist()) == [5]


def test_what_is_disliked_is_hidden_and_not_learnt() -> None:
    rows = events(ROWS)
    rows.data["weight"] = np.where(rows["item"] == 4, 0, 1).astype(np.float32)
    made = arrange(rows, None)
    assert made["history"][1].tolist() == [5, 6]
    assert made["shunned"][1].tolist() == [4]


def test_questions_make_every_row_a_target() -> None:
    made = questions(events(ROWS))
    assert [sorted(made["target"][i].tolist()) for i in range(3)] == [[2, 3], [-77, 4, 5, 6], [9]]
    assert made["recall"].all()
    assert made["history"].lengths.tolist() == [0, 0, 0]


def test_negatives_were_never_met_and_do_not_know_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    rows = [(user, item, 0) for user in range(7) for item in rng.permutation(23)[: 5 + 2 * user]]
    made = arrange(events(rows), np.ones(len(rows), bool))
    whole = batch.collate(made, Draw(0, 3, np.arange(7), training=True), 23, negatives=True)
    for user in range(7):
        of = (whole.owner == user).numpy()
        drawn = whole.negative.numpy()[of]
        assert not set(drawn[drawn >= 0]) & set(whole.history.numpy()[of])
        alone = batch.collate(made.take(np.array([user])), Draw(0, 3, np.array([user]), training=True), 23, negatives=True)
        np.testing.assert_array_equal(alone.negative.numpy(), drawn)
    assert (whole.negative >= 0).float().mean() > 0.8  # of 23 items the last user met 17


def test_events_in_any_order_make_the_same_examples() -> None:
    config = Recommendation.Config(time="time", model={"kind": "ease"})
    table = Recommendation(config).demo(220, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    made = []
    for rows in (table.sort("time"), table.sort("time", descending=True), table.sample(fraction=1, shuffle=True, seed=7)):
        parts = divide(rows, Splitting(by="last", group="user_id", order="time"), target=None, seed=0)
        examples = task.arrange(task.encode(rows), parts == 2)
        made.append([(int(user), *history, -1, *target) for user, history, target in zip(
            examples["user"], lists_of(examples["history"]), lists_of(examples["target"]), strict=True)])  # fmt: skip
    assert sorted(made[0]) == sorted(made[1]) == sorted(made[2])


def lists_of(spans: Ragged) -> list[list[int]]:
    """Span by span."""
    return [spans.values[start : start + length].tolist() for start, length in zip(spans.starts, spans.lengths, strict=True)]
