"""Data larger than memory is prepared to the same rows, rejects, splits and weights as data that fits."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from luban import recipe as recipes
from luban.columns import Columns, Ragged
from luban.data import csv_blocks, spool, streaming
from luban.data.prepare import Prepared, prepare
from luban.data.reading import Reading, read
from luban.errors import DataError
from luban.kinds.image import Image
from luban.recipe import Recipe
from luban.run import train
from luban.tasks.classification import Classification

BLOCK = 4001


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is too large, blocks are small."""
    monkeypatch.setattr(streaming, "EXPANSION", dict.fromkeys(streaming.EXPANSION, 10**12))
    monkeypatch.setattr(streaming, "block_size", lambda room: BLOCK)
    monkeypatch.setattr(csv_blocks, "SMALLEST", BLOCK)


def rows(count: int = 1511) -> pl.DataFrame:
    """Text with quotes, line ends and commas; numbers with gaps; a date; whole numbers that one late value makes a float."""
    rng = np.random.default_rng(0)
    pieces = ['say "x"', "two\nlines", "a, b", "很好", "差", "plain"]
    return pl.DataFrame(
        {
            "text": [" ".join(rng.choice(pieces, rng.integers(1, 9))) for _ in range(count)],
            "price": [None if i % 7 == 0 else round(float(x), 2) for i, x in enumerate(rng.normal(50, 9, count))],
            "late": [str(i) if i < count - 3 else "2.5" for i in range(count)],
            "code": ["007" if i == count - 2 else str(i % 90) for i in range(count)],
            "day": [f"2024-0{1 + i % 9}-11" for i in range(count)],
            "city": rng.choice(["Wien", "杭州"], count).tolist(),
            "label": rng.choice(["good", "bad"], count).tolist(),
        }
    )


def csv_with_faults(folder: Path) -> Path:
    path = folder / "d.csv"
    rows().write_csv(path)
    lines = path.read_bytes()
    path.write_bytes(lines + b"too,few\n" + b'bad \xff,1,1,1,2024-01-11,Wien,good\nx,1,2,3,2024-01-11,"W\nW",bad,9\n')
    return path


def recipe(folder: Path, data: Any = "d.csv", **more: Any) -> Recipe:
    inputs = {"text": "text", "price": "number", "late": "number", "code": "category", "day": "date", "city": "category"}
    return recipes.parse({"task": "classification", "data": data, "target": "label", "inputs": inputs} | more, base=folder)


def same(one: Columns, other: Columns) -> None:
    assert list(one.data) == list(other.data)
    np.testing.assert_array_equal(one.row, other.row)
    np.testing.assert_array_equal(np.asarray(one.size), np.asarray(other.size))
    for name, value in one.data.items():
        there = other[name]
        if isinstance(value, Ragged):
            np.testing.assert_array_equal(value.flat(), there.flat())
            np.testing.assert_array_equal(value.lengths, there.lengths)
        else:
            np.testing.assert_array_equal(value, there)


def same_prepared(one: Prepared, other: Prepared) -> None:
    assert json.dumps(one.facts, sort_keys=True) == json.dumps(other.facts, sort_keys=True)
    assert one.task.state == other.task.state
    for name in one.examples:
        same(one.examples[name], other.examples[name])
    assert one.raw.collect().equals(other.raw.collect())


def test_a_streamed_csv_is_prepared_as_one_that_fits(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    csv_with_faults(tmp_path)
    fitting = prepare(recipe(tmp_path), tmp_path / "one")
    assert len(fitting.facts["rejects"]) == 3
    request.getfixturevalue("streamed")
    found = prepare(recipe(tmp_path), tmp_path / "two")
    same_prepared(fitting, found)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in (tmp_path / "two").iterdir())
    same_prepared(fitting, prepare(recipe(tmp_path), tmp_path / "two"))  # opened again


def test_what_grew_in_the_store_is_not_written_again_wherever_it_is_seen_from(
    streamed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows().write_csv(tmp_path / "d.csv")
    monkeypatch.chdir(tmp_path)
    for place in (Path("seen-from-here"), tmp_path / "seen-from-the-root"):
        assert len(prepare(recipe(tmp_path), place).examples["train"]) > 300
        assert not [path.name for path in place.glob("*/*.npy") if path.name[0].isdigit()]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv.gz", "gb18030.csv", "utf16.csv", "odd.csv", "crlf.csv"])
def test_every_format_is_read_in_blocks_as_it_is_read_whole(suffix: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path, table = tmp_path / f"d.{suffix}", rows()
    text = table.write_csv()
    match suffix:
        case "jsonl":
            lines = table.with_columns(late=pl.int_range(pl.len())).write_ndjson().splitlines()
            lines[700:700] = ["not json", '{"late": 2.5, "tags": ["a", "b"], "label": "good"}', "[1]"]
            path.write_text("\n".join(lines), encoding="utf-8")
        case "parquet":
            table.write_parquet(path, row_group_size=200)
        case "csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        case "gb18030.csv":
            path.write_bytes(text.encode("gb18030"))
        case "utf16.csv":
            path.write_bytes(text.encode("utf-16"))
        case "odd.csv":
            path.write_text(
                text + '9" tall,1,1,1,2024-01-11,Wien,good\n"never closed,1,1,1,2024-01-11,Wien,good\nlast,1,2,3,2024-01-11,Wien,bad\n'
            )
        case _:
            path.write_bytes(text.replace("two\nlines", "two lines").replace("\n", "\r\n").encode())
    whole = read(path.name, base=tmp_path)
    request.getfixturevalue("streamed")
    (tmp_path / "blocks").mkdir()
    spooled, source = spool.spool(path.name, Reading(), tmp_path / "blocks", BLOCK, base=tmp_path, used=None, check=lambda: None)
    assert len(spooled.blocks) > 3
    assert spooled.select(list(spooled.schema)).equals(whole.table)
    assert spooled.schema == dict(whole.table.schema)
    assert source.rejects == whole.rejects
    assert source.found == whole.found
    assert source.content_hash() == whole.content_hash()
    assert [source.origin.of(row) for row in range(len(spooled))] == [whole.origin.of(row) for row in range(len(spooled))]


def test_files_of_several_parts_agree_on_their_types(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rows().write_csv(tmp_path / "a.csv")
    rows(200).drop("city").with_columns(price=pl.lit("dear")).write_csv(tmp_path / "b.csv")
    data = {"train": "a.csv", "test": "b.csv"}
    whole = read(data, base=tmp_path)
    request.getfixturevalue("streamed")
    (tmp_path / "blocks").mkdir()
    spooled, source = spool.spool(data, Reading(), tmp_path / "blocks", BLOCK, base=tmp_path, used=None, check=lambda: None)
    assert spooled.select(list(spooled.schema)).equals(whole.table)
    assert source.splits is not None
    assert whole.splits is not None
    assert source.splits.tolist() == whole.splits.tolist()


def test_a_folder_of_pictures_is_encoded_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Image.demo(53, 0).to_list()
    for number, cell in enumerate(cells):
        place = tmp_path / "data" / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(cell if number != 7 else cell[:40])
    made = {"task": "classification", "data": "data", "target": "label", "inputs": {"image": "image"}, "reading": {"reject_limit": 0.5}}
    pictures = recipes.parse(made, base=tmp_path)
    fitting = prepare(pictures, tmp_path / "one")
    assert len(fitting.facts["rejects"]) == 1
    monkeypatch.setattr(streaming, "PICTURE", 10**5)
    monkeypatch.setattr(streaming, "block_size", lambda room: 15 * 10**10)  # five pictures of that size
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**15))
    found = prepare(pictures, tmp_path / "two")
    same_prepared(fitting, found)
    assert list((tmp_path / "two").glob("*/train.*.npy"))


@pytest.mark.parametrize("model", [{"kind": "ngrams", "size": "tiny"}, {"kind": "linear", "buckets": 65_536}])
def test_weights_are_the_same_to_the_last_bit(model: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    Classification.demo(None, 307, 0).write_csv(tmp_path / "d.csv")  # type: ignore[arg-type]
    training, evaluation = {"steps": 5, "precision": "float32"}, {"draws": 10, "baselines": False}
    made = {"task": "classification", "data": "d.csv", "target": "label", "model": model, "training": training, "evaluation": evaluation}
    fitting = train(recipes.parse(made, base=tmp_path), runs=tmp_path / "one")
    request.getfixturevalue("streamed")
    found = train(recipes.parse(made, base=tmp_path), runs=tmp_path / "two")
    assert (found.bundle / "weights.safetensors").read_bytes() == (fitting.bundle / "weights.safetensors").read_bytes()
    assert [row["test"] for row in found.report["ladder"]] == [row["test"] for row in fitting.report["ladder"]]


def test_a_sample_is_fitted_on_where_the_rows_do_not_fit(
    streamed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows().with_columns(label=pl.when(pl.int_range(pl.len()) == 40).then(pl.lit("rare")).otherwise("label")).write_csv(tmp_path / "d.csv")
    monkeypatch.setattr(streaming, "FIT_SHARE", 1.5e-4)
    made = recipe(tmp_path, training={"memory": "1 GB"})
    found = prepare(made, tmp_path / "one")
    assert "W212" in caplog.text
    assert 100 < found.facts["sample"]["rows"] < 1000
    assert found.facts["sample"]["of"] == 1511
    assert "rare" in found.task.labels
    again = prepare(made, tmp_path / "two")
    assert again.task.state == found.task.state


def test_a_full_disk_is_told_beforehand_and_nothing_is_left_behind(streamed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows().write_csv(tmp_path / "d.csv")
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "DISK", 10**15)
        with pytest.raises(DataError, match=r"L260.* bytes are needed"):
            prepare(recipe(tmp_path), tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "build", full)
        with pytest.raises(DataError, match="L260"):
            prepare(recipe(tmp_path), tmp_path / "one")
    assert list((tmp_path / "one").iterdir()) == []


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_a_killed_preparation_left_is_removed(streamed: None, tmp_path: Path) -> None:
    rows().write_csv(tmp_path / "d.csv")
    left = tmp_path / "one" / ".999999999.stream"
    left.mkdir(parents=True)
    (left / "store.json").write_text("{}")
    found = prepare(recipe(tmp_path), tmp_path / "one")
    assert found.facts["rows"] == 1511
    assert not left.exists()
