"""Rows into train, validation and test: shares, strata, groups, time, the last of each group; folds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.data.splits import TEST, TRAIN, VALIDATION, Splitting, divide, folds
from luban.errors import DataError, RecipeError


def table(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(count)
    return pl.DataFrame(
        {
            "label": rng.choice(["a", "b", "b", "b"], count),
            "who": rng.integers(0, 23, count),
            "when": rng.permutation(count),
        }
    )


def shares(parts: np.ndarray) -> list[int]:
    return np.bincount(parts, minlength=3).tolist()


def test_random_shares_are_exact_and_obey_the_seed() -> None:
    split = Splitting(by="random", validation=0.2, test=0.1)
    parts = divide(table(211), split, target=None, seed=0)
    assert shares(parts) == [148, 42, 21]
    np.testing.assert_array_equal(parts, divide(table(211), split, target=None, seed=0))
    assert not np.array_equal(parts, divide(table(211), split, target=None, seed=1))


@pytest.mark.parametrize(("count", "expected"), [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (7, [5, 1, 1])])
def test_three_rows_are_enough_for_three_parts(count: int, expected: list[int]) -> None:
    assert shares(divide(table(count), Splitting(by="random"), target=None, seed=0)) == expected


def test_labels_keep_their_shares() -> None:
    frame = table(1009)
    parts = divide(frame, Splitting(by="stratified", validation=0.2, test=0.1), target="label", seed=0)
    for part, share in ((VALIDATION, 0.2), (TEST, 0.1)):
        for label in ("a", "b"):
            of_label = parts[(frame["label"] == label).to_numpy()]
            assert abs((of_label == part).sum() - share * len(of_label)) <= 1.5


def test_a_label_with_one_row_trains() -> None:
    frame = pl.DataFrame({"label": ["rare"] + ["a"] * 20 + ["b"] * 20 + ["once"]})
    for seed in range(7):
        parts = divide(frame, Splitting(by="stratified"), target="label", seed=seed)
        assert parts[0] == parts[-1] == TRAIN
        assert min(shares(parts)) > 0


def test_tags_held_as_lists_are_split_at_random() -> None:
    frame = pl.DataFrame({"label": [["a", "b"], ["a"], []] * 10})
    assert shares(divide(frame, Splitting(by="stratified"), target="label", seed=0)) == [24, 3, 3]


@given(st.integers(3, 40), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_group_stays_in_one_split_and_no_split_is_empty(groups: int, seed: int) -> None:
    who = np.random.default_rng(seed).permutation(np.repeat(np.arange(groups), 4))
    parts = divide(pl.DataFrame({"who": who}), Splitting(group="who", by="random"), target=None, seed=seed)
    assert min(shares(parts)) > 0
    assert all(len(np.unique(parts[who == group])) == 1 for group in range(groups))


def test_many_groups_reach_the_shares() -> None:
    parts = divide(table(4001), Splitting(group="who", by="random", validation=0.2, test=0.2), target=None, seed=0)
    assert abs(shares(parts)[VALIDATION] / 4001 - 0.2) < 0.05
    assert abs(shares(parts)[TEST] / 4001 - 0.2) < 0.05


def test_two_groups_are_too_few() -> None:
    with pytest.raises(DataError, match="L221"):
        divide(pl.DataFrame({"who": [1, 1, 2]}), Splitting(group="who"), target=None, seed=0)


def test_time_tests_on_the_latest() -> None:
    frame = table(211)
    parts, when = divide(frame, Splitting(by="time", order="when", validation=0.2, test=0.1), target=None, seed=0), frame["when"].to_numpy()
    assert when[parts == TRAIN].max() < when[parts == VALIDATION].min()
    assert when[parts == VALIDATION].max() < when[parts == TEST].min()
    assert abs(shares(parts)[TEST] - 21) <= 1


def test_rows_of_one_instant_stay_together() -> None:
    frame = pl.DataFrame({"when": [0] * 5 + [1] * 5 + [2] * 5})
    parts = divide(frame, Splitting(by="time", order="when", validation=0.2, test=0.2), target=None, seed=0)
    assert all(len(np.unique(parts[start : start + 5])) == 1 for start in (0, 5, 10))


@pytest.mark.parametrize("by", ["time", "last"])
def test_a_row_without_time_is_an_error(by: str) -> None:
    with pytest.raises(DataError, match="L222"):
        divide(pl.DataFrame({"when": [1, None, 3]}), Splitting(by=by, order="when"), target=None, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", [Splitting(by="time"), Splitting(by="time", order="wen"), Splitting(by="last", group="whoo")])
def test_a_column_that_is_not_there_is_an_error(split: Splitting) -> None:
    with pytest.raises(RecipeError, match="L111"):
        divide(table(7), split, target=None, seed=0)


def test_the_last_of_each_group_are_the_test_by_hand() -> None:
    frame = pl.DataFrame({"who": ["x", "y", "x", "x", "y", "z", "x", "z", "y"], "when": [4, 1, 2, 3, 9, 1, 1, 2, 5]})
    parts = divide(frame, Splitting(by="last", group="who", order="when"), target=None, seed=0)
    #  x at 4 is its last, at 3 the one before; y at 9 and 5; z has but two rows, which train
    assert parts.tolist() == [TEST, TRAIN, TRAIN, VALIDATION, TEST, TRAIN, TRAIN, TRAIN, VALIDATION]


@given(st.lists(st.integers(1, 31), min_size=1, max_size=9), st.sampled_from([0.0, 0.1, 0.25, 0.45]), st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=60, deadline=None)
def test_in_each_group_train_comes_before_validation_before_test(sizes: list[int], validation: float, test: float) -> None:
    who = np.repeat(np.arange(len(sizes)), sizes)
    when = np.random.default_rng(len(who)).permutation(len(who))
    split = Splitting(by="last", group="who", order="when", validation=validation, test=test)
    parts = divide(pl.DataFrame({"who": who, "when": when}), split, target=None, seed=0)
    for group, size in enumerate(sizes):
        mine = parts[who == group][np.argsort(when[who == group])]
        assert (np.diff(mine[mine != TRAIN]) >= 0).all()
        assert mine[0] == TRAIN
        assert (np.flatnonzero(mine == TRAIN) == np.arange((mine == TRAIN).sum())).all()
        for part, share in ((VALIDATION, validation), (TEST, test)):
            assert (mine == part).any() == (size >= 3 and share > 0)


def test_without_group_the_last_rows_of_the_table_are_the_test() -> None:
    parts = divide(table(20), Splitting(by="last", validation=0.2, test=0.1), target=None, seed=0)
    assert parts.tolist() == [TRAIN] * 14 + [VALIDATION] * 4 + [TEST] * 2
    frame = table(20)
    by_time = divide(frame, Splitting(by="last", order="when", validation=0.2, test=0.1), target=None, seed=0)
    np.testing.assert_array_equal(by_time[np.argsort(frame["when"].to_numpy())], parts)


def test_the_split_of_the_data_is_kept_and_completed() -> None:
    given_parts = np.array([TRAIN] * 30 + [TEST] * 10, np.int8)
    parts = divide(table(40), Splitting(by="random", validation=0.2), target=None, seed=0, given=given_parts)
    assert (parts[30:] == TEST).all()
    assert shares(parts) == [24, 6, 10]


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(RecipeError, match="L110"):
        divide(table(40), Splitting(validation=0.5, test=0.5), target=None, seed=0)
    with pytest.raises(DataError, match="L220"):
        divide(table(3), Splitting(validation=0.0, test=0.0), target=None, seed=0, given=np.full(3, TEST, np.int8))


def test_folds_test_every_row_once_in_proportion() -> None:
    labels = table(211)["label"]
    fold = folds(211, 5, labels, seed=0)
    assert set(np.bincount(fold)) <= {42, 43}
    of_a = np.bincount(fold[(labels == "a").to_numpy()], minlength=5)
    assert of_a.max() - of_a.min() <= 1
    np.testing.assert_array_equal(fold, folds(211, 5, labels, seed=0))
    assert not np.array_equal(fold, folds(211, 5, labels, seed=1))


def test_a_share_of_each_group_is_cut_at_random() -> None:
    frame = pl.DataFrame({"who": np.repeat(np.arange(5), [1, 2, 3, 10, 29])})
    split = Splitting(by="ratio", group="who", validation=0.1, test=0.2)
    parts = divide(frame, split, target=None, seed=0)
    counts = [np.bincount(parts[frame["who"].to_numpy() == who], minlength=3).tolist() for who in range(5)]
    assert counts == [[1, 0, 0], [2, 0, 0], [1, 1, 1], [7, 1, 2], [22, 2, 5]]
    order = np.random.default_rng(0).permutation(45)
    assert shares(divide(frame[order], split, target=None, seed=0)) == shares(parts)
    assert not np.array_equal(parts, divide(frame, split, target=None, seed=1))


def test_the_very_last_of_each_group_is_one_row() -> None:
    frame = pl.DataFrame({"who": np.repeat(np.arange(3), [2, 3, 40]), "when": np.arange(45)[::-1]})
    parts = divide(frame, Splitting(by="last_one", group="who", order="when"), target=None, seed=0)
    assert parts.tolist() == [0, 0, 2, 1, 0, 2, 1] + [0] * 38
    assert shares(divide(frame, Splitting(by="last_one", group="who", order="when", validation=0.0), target=None, seed=0)) == [43, 0, 2]


@pytest.mark.parametrize("by", ["random", "stratified", "ratio"])
def test_a_split_that_heeds_no_order_refuses_one(by: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Splitting(by=by, order="when")  # type: ignore[arg-type]
    assert caught.value.code == "L116"
