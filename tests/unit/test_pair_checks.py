"""Pairs of texts that do not belong together are found, named and counted; those that do are left alone."""

from __future__ import annotations

import numpy as np
import polars as pl

from luban.data.checks import checks
from luban.data.checks.finding import Subject
from luban.data.checks.pairs import pairs

EN = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "nobody", "watches", "through", "window", "with", "tea")
FR = (
    "le",
    "renard",
    "brun",
    "saute",
    "par-dessus",
    "chien",
    "paresseux",
    "pendant",
    "que",
    "personne",
    "regarde",
    "fenêtre",
    "avec",
    "du",
    "thé",
)
ZH = "敏捷的棕色狐狸跳过了懒狗而没有人透过窗户看着茶"


def table(second: tuple[str, ...] | str, count: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    picks = [rng.integers(0, 15, 6 + row % 5) for row in range(count)]
    join = "" if isinstance(second, str) else " "
    return pl.DataFrame({"en": [" ".join(EN[p] for p in pick) + f" {row}" for row, pick in enumerate(picks)],
                         "other": [join.join(second[p] for p in pick) + f"{join}{row}" for row, pick in enumerate(picks)]})  # fmt: skip


def found(frame: pl.DataFrame, task: str = "text_to_text") -> tuple[dict[str, list[int]], Subject]:
    subject = Subject(frame, {"en": "text"}, "other", np.zeros(len(frame), np.int8), task)
    codes = {finding.code for finding in pairs(subject)}
    rows: dict[str, list[int]] = {}
    for odd in subject.found.get("pairs", []):
        rows.setdefault(odd.reason[:4], []).append(odd.row)
    assert codes - {""} == set(rows)
    return rows, subject


def with_cell(frame: pl.DataFrame, **cells: dict[int, str | None]) -> pl.DataFrame:
    for name, values in cells.items():
        column = frame[name].to_list()
        for row, value in values.items():
            column[row] = value
        frame = frame.with_columns(pl.Series(name, column))
    return frame


def test_good_pairs_are_left_alone() -> None:
    for second in (FR, ZH):
        rows, subject = found(table(second))
        assert rows == {}
        assert [finding.level for finding in pairs(subject)] == ["ok"]


def test_each_fault_is_found_where_it_stands() -> None:
    for second in (FR, ZH):
        good = table(second)
        en, other = good["en"].to_list(), good["other"].to_list()
        bad = with_cell(
            good,
            en={3: other[3], 5: "", 20: None, 31: en[30]},
            other={3: en[3], 7: en[7], 9: "  ", 11: en[12], 13: other[13] * 12, 31: other[30], 40: None},
        )
        rows, _ = found(bad)
        assert rows["W281"] == [3]
        assert rows["W282"] == [11]
        assert rows["W283"] == [7]
        assert rows["W284"] == [5, 9, 20]
        assert 13 in rows["W280"]
        assert rows["W285"] == [31]
        assert set(rows["W280"]) <= {3, 7, 11, 13}  # Chinese is shorter: a side in English is odd too


def test_sides_in_one_language_are_not_told_apart() -> None:
    frame = table(EN)
    assert set(found(frame.with_columns(other=pl.col("en").str.split(" ").list.head(3).list.join(" ")))[0]) <= {"W280"}


def test_a_table_of_copies_is_a_task_of_copying() -> None:
    frame = table(FR).with_columns(other="en")
    assert found(frame)[0] == {}


def test_other_tasks_are_not_looked_at() -> None:
    assert found(with_cell(table(FR), other={3: ""}), "classification")[0] == {}


def test_training_hears_of_them() -> None:
    frame = with_cell(table(FR), other={3: table(FR)["en"][3]})
    codes = {finding.code for finding in checks(frame, {"en": "text"}, "other", np.arange(300) % 3, "text_to_text")}
    assert "W283" in codes
