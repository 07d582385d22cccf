"""Every reader reads the same small table to the same columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from luban import data
from luban.data.reading import Reading, read

TABLE = pl.DataFrame(
    {
        "text": ["很好，推荐", 'a "quoted", text', "no\tstop", None, "Ωmega"],
        "number": [1.5, -2.0, None, 1e6, 0.25],
        "count": [3, 0, 7, 11, 2],
        "code": ["007", "010", "1a", "000", "42"],
        "day": ["2024-02-29", "2024-12-31", "2025-01-01", "1999-01-01", "2024-03-01"],
    }
)


def jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in TABLE.to_dicts()), encoding="utf-8")


def xlsx(path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(TABLE.columns)
    for row in TABLE.rows():
        book.active.append(row)
    book.save(path)


def inter(path: Path) -> None:
    """As RecBole names columns."""
    TABLE.rename({name: f"{name}:token" for name in TABLE.columns}).write_csv(path, separator="\t")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "csv": TABLE.write_csv,
    "tsv": lambda path: TABLE.write_csv(path, separator="\t"),
    "jsonl": jsonl,
    "parquet": TABLE.write_parquet,
    "xlsx": xlsx,
    "inter": inter,
}


def test_every_reader_is_tested() -> None:
    readers = {path.stem for path in (Path(data.__file__).parent / "readers").glob("[!_]*.py")}
    elsewhere = {
        "folder",
        "text",
        "movielens",
        "squad",
        "documents",
        "parallel",
        "tmx",
        "po",
        "mo",
    }  # their columns are fixed: tests of their own
    assert readers == {*WRITERS, "recbole"} - {"tsv", "inter"} | elsewhere, "a new reader needs a writer here"


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_same_table_is_read_whatever_it_is_written_in(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"table.{suffix}")
    source = read(f"table.{suffix}", Reading(), base=tmp_path)
    assert not source.rejects
    assert source.table.columns == TABLE.columns
    for name in TABLE.columns:
        expected, found = TABLE[name], source.table[name]
        if expected.dtype.is_numeric():
            assert found.cast(pl.Float64).to_list() == expected.cast(pl.Float64).to_list()
        else:
            assert found.cast(pl.String).to_list() == expected.to_list()
    assert [source.origin.of(row)[0].endswith(f"table.{suffix}") for row in range(len(TABLE))] == [True] * len(TABLE)
