"""Logs of users and items: told from other tables, read as others write them, each fault planted and found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from luban.data.checks import checks
from luban.data.logs import event_log
from luban.data.reading import read
from luban.data.splits import Splitting, divide
from luban.errors import DataError

OWN = {"user": "user", "item": "item", "time": "time"}


def log(users: int = 101, items: int = 53, each: int = 11) -> pl.DataFrame:
    """Users who come one after the other, each taking other items."""
    rng = np.random.default_rng(0)
    rows = [(user, int(item), 100 * user + n) for user in range(users) for n, item in enumerate(rng.choice(items, each, replace=False))]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


def codes(table: pl.DataFrame, by: str = "time", own: dict[str, str] = OWN) -> set[str]:
    split = Splitting(by=by, order="time" if by == "time" else None, group=None if by == "time" else "user")  # type: ignore[arg-type]
    parts = divide(table, split, target=None, seed=0)
    return {finding.code for finding in checks(table, {}, None, parts, "recommendation", by=by, own=own)} - {""}


def test_a_clean_log_has_no_findings() -> None:
    assert codes(log()) == set()


def test_copies_are_told_from_repetition() -> None:
    table = log()
    assert codes(pl.concat([table, table.head(30)])) == {"W272"}
    assert codes(pl.concat([table, table.head(30).with_columns(time=pl.col("time") + 1)])) == {"W273"}


def test_a_bot_is_named() -> None:
    bot = pl.DataFrame({"user": [999] * 1300, "item": np.arange(1300) % 53, "time": np.arange(1300) * 7})
    assert "W274" in codes(pl.concat([log(users=301), bot]))


def test_users_with_few_events_are_counted() -> None:
    few = pl.DataFrame({"user": np.arange(1000, 1100), "item": np.arange(100) % 53, "time": np.arange(100) * 100})
    assert codes(pl.concat([log(), few])) == {"W275"}


def test_items_that_training_never_saw_are_counted() -> None:
    table = log()
    assert codes(table.with_columns(item=pl.when(pl.col("time") > 9000).then(pl.col("item") + 100).otherwise(pl.col("item")))) == {"W276"}


def test_moments_that_say_nothing() -> None:
    assert "W277" in codes(log().with_columns(time=pl.lit(5)), by="ratio")
    assert "W277" in codes(log().with_columns(time=100 * pl.col("user")))


def test_a_split_by_user_is_told_that_the_future_leaks() -> None:
    assert codes(log(), by="ratio") == {"W278"}
    assert codes(log().drop("time"), by="ratio", own={"user": "user", "item": "item"}) == set()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("user_id", "item_id", "timestamp"), True),
        (("userId", "movieId", "ts"), True),
        (("Customer ID", "StockCode", "InvoiceDate"), True),
        (("用户编号", "商品编号", "时间"), True),
        (("session", "product", "date"), True),
        (("user_age", "item_id", "time"), False),
    ],
)
def test_logs_are_told_by_their_names(names: tuple[str, str, str], found: bool) -> None:
    table = log().rename(dict(zip(("user", "item", "time"), names, strict=True)))
    assert event_log(table) == (dict(zip(("user", "item", "time"), names, strict=True)) if found else None)


def test_a_table_of_persons_is_no_log() -> None:
    assert event_log(pl.DataFrame({"user_id": range(50), "item_id": [1, 2] * 25})) is None


def test_recbole_files_are_read_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t7\t3.5\n1\t8\t4\n甲\t7\t5\n", encoding="utf-8")
    table = read("a.inter", base=tmp_path).table
    assert table.columns == ["user_id", "item_id", "timestamp"]
    assert table["user_id"].to_list() == ["1", "1", "甲"]
    (tmp_path / "b.inter").write_text("user_id\titem_id:token\n1\t7\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read("b.inter", base=tmp_path)
    assert caught.value.code == "L288"


def test_movielens_files_are_read(tmp_path: Path) -> None:
    rows = [(196, 242, 3, 881250949), (186, 302, 3, 891717742), (22, 377, 1, 878887116)]
    for name, sign in (("u.data", "\t"), ("ratings.dat", "::")):
        (tmp_path / name).write_text("".join(sign.join(map(str, row)) + "\n" for row in rows))
        table = read(name, base=tmp_path).table
        assert table.columns == ["user_id", "item_id", "rating", "timestamp"]
        assert table.rows() == rows
    (tmp_path / "movies.dat").write_bytes("1::Amélie (2001)::Comedy|Romance\n".encode("latin-1"))
    assert read("movies.dat", base=tmp_path).table.rows() == [(1, "Amélie (2001)", "Comedy|Romance")]
    (tmp_path / "other.dat").write_text("1::2\n")
    with pytest.raises(DataError) as caught:
        read("other.dat", base=tmp_path)
    assert caught.value.code == "L290"


def test_columns_that_describe_items_are_no_faults_where_they_are_silent() -> None:
    table = log().with_columns(title=pl.lit(None, pl.String))
    about = pl.DataFrame({"user": [None] * 53, "item": range(53), "time": [None] * 53, "title": ["cup"] * 53}, schema=table.schema)
    parts = np.r_[divide(table, Splitting(by="time", order="time"), target=None, seed=0), np.zeros(53, np.int8)]
    found = checks(pl.concat([table, about]), {"title": "text"}, None, parts, "recommendation", by="time", own=OWN)
    assert {finding.code for finding in found} == {""}
