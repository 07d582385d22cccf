"""Every format, every encoding, every fault: exact lines, nothing dropped silently."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from luban.data.media import resolve
from luban.data.reading import Reading, read
from luban.data.source import Origin, Source
from luban.errors import DataError, LubanError, RecipeError

LENIENT = Reading(reject_limit=1.0)


def write(folder: Path, content: bytes | str, name: str = "data.csv") -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def png(value: int = 7, size: tuple[int, int] = (5, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, value).save(buffer, "PNG")
    return buffer.getvalue()


def load(folder: Path, content: bytes | str, name: str = "data.csv", **options: object) -> Source:
    return read(write(folder, content, name), Reading(**{"reject_limit": 1.0, **options}), base=folder)


def fails(folder: Path, content: bytes | str, name: str = "data.csv", **options: object) -> LubanError:
    with pytest.raises(LubanError) as caught:
        load(folder, content, name, **options)
    return caught.value


# --- csv: content, types, delimiters


def test_types_are_those_of_the_whole_column(tmp_path: Path) -> None:
    rows = ["n,x,id,mixed,flag,day,text,code"]
    rows += [f"{i},{i}.5,{i:03d},{i},true,2024-05-{i + 1:02d},word {i},{'NA' if i == 3 else i}" for i in range(7)]
    rows[-1] = "6,6.5,006,six,false,2024-05-07,,6"
    table = load(tmp_path, "\n".join(rows) + "\n").table
    dtypes = [pl.Int64, pl.Float64, pl.String, pl.String, pl.Boolean, pl.Date, pl.String, pl.Int64]
    assert table.dtypes == dtypes
    assert table["id"].to_list() == [f"{i:03d}" for i in range(7)]
    assert table["mixed"].to_list() == ["0", "1", "2", "3", "4", "5", "six"]
    assert table["text"][6] is None
    assert table["code"].to_list() == [0, 1, 2, None, 4, 5, 6]


def test_a_late_string_does_not_turn_into_null(tmp_path: Path) -> None:
    table = load(tmp_path, "a,b\n" + "1,2\n" * 20_011 + "x,3\n").table
    assert table["a"].dtype == pl.String
    assert table["a"][-1] == "x"
    assert table["a"].null_count() == 0


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-2", "+3"], pl.Int64),
        (["1", "2.0"], pl.Float64),
        (["1e3", ".5", "5."], pl.Float64),
        (["1", "nan", "inf"], pl.Float64),
        (["0.5", "0", "-0.25"], pl.Float64),
        (["00", "1"], pl.String),
        (["123456789012345678901", "1"], pl.String),
        (["1,234", "5"], pl.String),
        (["1_000", "2"], pl.String),
        (["True", "FALSE"], pl.Boolean),
        (["yes", "no"], pl.String),
        (["2024-02-30", "2024-02-01"], pl.String),
        (["2024-02-03 04:05:06", "2024-02-03 04:05:07"], pl.Datetime),
    ],
)
def test_type_of(tmp_path: Path, cells: list[str], dtype: type[pl.DataType]) -> None:
    body = "".join(f'"{cell}";k\n' for cell in cells)
    assert load(tmp_path, "v;w\n" + body, delimiter=";").table["v"].dtype == dtype


def test_missing_marks_among_numbers_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "luban"):
        table = load(tmp_path, "a,b\n1,?\n2,x\n?,?\n").table
    assert table["a"].to_list() == [1, 2, None]
    assert table["b"].to_list() == ["?", "x", "?"]
    assert "'?'" in caplog.text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["name", "note", "n"], ["李", f"with {delimiter} inside", "1"], ['say "hi"', "two\nlines", "2"], ["c, d; e", "x", "3"]]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    table = load(tmp_path, buffer.getvalue()).table
    assert table.columns == rows[0]
    assert table.rows() == [(a, b, int(c)) for a, b, c in rows[1:]]


def test_a_single_column_with_commas_in_it(tmp_path: Path) -> None:
    source = load(tmp_path, "text\nhello, world\nplain\n\na, b, c\n")
    assert source.table["text"].to_list() == ["hello, world", "plain", "a, b, c"]
    assert source.origin.of(2)[1] == 5


def test_no_header(tmp_path: Path) -> None:
    source = load(tmp_path, "1,a\n2,b\n", header=False)
    assert source.table.rows() == [(1, "a"), (2, "b")]
    assert source.table.columns == ["column_1", "column_2"]
    assert source.origin.of(0)[1] == 1


def test_a_header_of_numbers_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, "1.5,2\n3,4\n")
    assert "W201" in caplog.text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(tmp_path: Path, end: str, last: bool) -> None:
    source = load(tmp_path, end.join(["a,b", "1,x", "2,y"]) + (end if last else ""))
    assert source.table.rows() == [(1, "x"), (2, "y")]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x1c\x1d\x1e\x1f", exclude_categories=("Cs",)), max_size=7)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=11), chunk=st.sampled_from([3, 17, 1 << 20]))
def test_what_python_writes_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str, str]], chunk: int
) -> None:
    monkeypatch.setattr("luban.data.readers.csv.CHUNK", chunk)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [("aa", "bb", "cc"), *[("k" + a, b, c + "k") for a, b, c in rows], ("z", "z", "z")]
    )
    source = load(tmp_path, buffer.getvalue(), delimiter=",")
    assert source.rejects == []
    assert source.table.rows()[:-1] == [("k" + a, None if b.strip() in ("", "NA") else b, c + "k") for a, b, c in rows]
    lines = np.cumsum([2, *[1 + sum(cell.count("\n") for cell in row) for row in rows]])
    assert [source.origin.of(i)[1] for i in range(len(rows))] == lines[:-1].tolist()


# --- csv: faults


def test_k_planted_faults_give_k_rejects_with_exact_lines(tmp_path: Path) -> None:
    lines = ["a,b,c"] + [f'{i},"two\nlines",{i}' for i in range(101)]
    planted = {11: "1,2", 29: "1,2,3,4", 53: "only", 97: "1,,,,"}
    wanted, line = [], 1
    for number in range(len(lines)):
        if number in planted:
            lines[number] = planted[number]
            wanted.append(line)
        line += lines[number].count("\n") + 1
    source = load(tmp_path, "\n".join(lines))
    assert [row.line for row in source.rejects] == wanted
    assert [row.column for row in source.rejects] == ["c", "c", "b", "c"]
    assert all(row.reason and row.file.endswith("data.csv") and row.received for row in source.rejects)
    assert source.table.height == 101 - len(planted)
    assert source.table["a"].to_list() == [i for i in range(101) if i + 1 not in planted]
    for row in (0, 9, 10, 51, 96):
        first = source.table["a"][row]
        before = "\n".join(lines).split("\n")
        assert before[source.origin.of(row)[1] - 1].startswith(f"{first},")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [('7,"open', "never closed"), ('7,"a"b', "not doubled"), ('7,"say "hi" now"', "not doubled")],
)
def test_a_bad_quote_costs_one_line(tmp_path: Path, bad: str, reason: str) -> None:
    lines = ["n,t"] + [f"{i},text {i}" for i in range(13)] + [bad] + [f'{i},"quoted, {i}"' for i in range(13, 31)]
    source = load(tmp_path, "\n".join(lines) + "\n")
    assert [(row.line, reason in row.reason) for row in source.rejects] == [(15, True)]
    assert source.table["n"].to_list() == list(range(31))
    assert [source.origin.of(row)[1] for row in (0, 12, 13, 30)] == [2, 14, 16, 33]


def test_a_quote_inside_a_bare_field_is_a_character(tmp_path: Path) -> None:
    source = load(tmp_path, 'a,b\n5\'8",x\n"y",2" wide\n')
    assert source.table.rows() == [("5'8\"", "x"), ("y", '2" wide')]


def test_blank_lines_are_no_records(tmp_path: Path) -> None:
    source = load(tmp_path, "\n\na,b\n\n1,x\n\n\n2,y\n\n")
    assert source.table.rows() == [(1, "x"), (2, "y")]
    assert [source.origin.of(i)[1] for i in range(2)] == [5, 8]
    assert not source.rejects


def test_over_the_limit_is_an_error_and_under_it_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = "a,b\n" + "1,2\n" * 99 + "1\n"
    assert read(write(tmp_path, body), Reading(reject_limit=0.01), base=tmp_path).table.height == 99
    assert "W205" in caplog.text
    error = fails(tmp_path, body, reject_limit=0.009)
    assert error.code == "L215"
    assert "data.csv:101" in error.where


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "L202"),
        ("\n\n", "L202"),
        ("a,b\n", "L214"),
        ("a,,c\n1,2,3\n", "L208"),
        ("a,b,a\n1,2,3\n", "L209"),
        ("\0" * 64 + "\1" * 9, "L204"),
    ],
)
def test_broken_files_are_coded_errors(tmp_path: Path, content: str, code: str) -> None:
    error = fails(tmp_path, content)
    assert error.code == code
    assert error.fix


# --- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_encodings_are_found(tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture) -> None:
    content = "review,n\n" + "".join(f"今天天气很好 {i},{i}\n" for i in range(23))
    with caplog.at_level(logging.INFO, "luban"):
        table = load(tmp_path, content.encode(encoding)).table
    assert table["review"][7] == "今天天气很好 7"
    assert table.columns == ["review", "n"]
    assert ("read as GB18030" in caplog.text) == (encoding == "gb18030")


def test_gb18030_bytes_that_look_like_a_delimiter(tmp_path: Path) -> None:
    words = [word for word in map(chr, range(0x4E00, 0x9FA5)) if 0x7C in word.encode("gb18030")][:31]
    content = "a|b\n" + "".join(f"{word}|{i}\n" for i, word in enumerate(words))
    source = load(tmp_path, content.encode("gb18030"))
    assert source.table["a"].to_list() == words


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_undecodable_lines_are_rejected_one_by_one(tmp_path: Path, encoding: str) -> None:
    lines = [b"t,n", *[f"好评,{i}".encode(encoding) for i in range(211)]]
    for number in (17, 101, 199):
        lines[number] = b"\xff\xfe\xff," + lines[number][-3:].lstrip(b",")
    source = load(tmp_path, b"\n".join(lines))
    assert [row.line for row in source.rejects] == [18, 102, 200]
    assert all("0xFF" in row.reason for row in source.rejects)
    assert source.table.height == 208


def test_an_unknown_encoding_names_the_byte(tmp_path: Path) -> None:
    content = b"t,n\n" + b"".join(b"\xff\xff caf\xe9,%d\n" % i for i in range(40))
    error = fails(tmp_path, content, reject_limit=0.01)
    assert (error.code, "byte 4" in error.what) == ("L206", True)
    assert load(tmp_path, content, encoding="latin-1").table["t"][0] == "ÿÿ café"
    assert fails(tmp_path, content, encoding="utf-99").code == "L207"


def test_nul_bytes_are_rejected(tmp_path: Path) -> None:
    source = load(tmp_path, "a,b\n1,x\n2,y\0z\n3,w\n4,\0\n")
    assert [(row.line, "NUL" in row.reason) for row in source.rejects] == [(3, True), (5, True)]
    assert source.table["a"].to_list() == [1, 3]


# --- jsonl


def test_jsonl_keeps_lists_and_names_bad_lines(tmp_path: Path) -> None:
    rows = [
        {"text": "好", "n": 1, "tags": ["a", "b"], "series": [[1, 2.5], [3, 4]]},
        {"text": "x", "n": 2.5, "tags": [], "mixed": 1},
        {"n": None, "mixed": "q"},
    ]
    lines = [json.dumps(rows[0], ensure_ascii=False), "{broken", json.dumps(rows[1]), "", "[1, 2]", json.dumps(rows[2]), "3", "[" * 100_000]
    source = load(tmp_path, "\n".join(lines), "data.jsonl")
    assert [row.line for row in source.rejects] == [2, 5, 7, 8]
    table = source.table
    assert table.schema == {
        "text": pl.String,
        "n": pl.Float64,
        "tags": pl.List(pl.String),
        "series": pl.List(pl.List(pl.Float64)),
        "mixed": pl.String,
    }
    assert table["tags"].to_list() == [["a", "b"], [], None]
    assert table["mixed"].to_list() == [None, "1", "q"]
    assert [source.origin.of(i)[1] for i in range(3)] == [1, 3, 6]


def test_json_lists_and_structs(tmp_path: Path) -> None:
    source = load(tmp_path, json.dumps([{"a": {"en": "x", "n": 1}, "s": "007"}, 5, {"a": {"en": "y"}, "s": "1"}], indent=1), "data.json")
    assert source.table.columns == ["a.en", "a.n", "s"]
    assert source.table["s"].to_list() == ["007", "1"]
    assert [source.origin.of(i)[1] for i in range(2)] == [2, 10]
    assert [row.line for row in source.rejects] == [9]
    assert fails(tmp_path, '[{"a": 1}, {"a"', "bad.json").code == "L217"
    assert fails(tmp_path, '[{"a": 1}', "bad.json").code == "L217"


@pytest.mark.parametrize("name", ["data.csv.gz", "data.jsonl.gz"])
def test_gzip(tmp_path: Path, name: str) -> None:
    content = b"a,b\n1,x\n2,y\n" if "csv" in name else b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'
    assert load(tmp_path, gzip.compress(content), name).table.rows() == [(1, "x"), (2, "y")]
    assert fails(tmp_path, gzip.compress(content)[:-9], name).code == "L204"
    assert fails(tmp_path, gzip.compress(b"x" * 1_000_003), name, max_unpacked=1_000_000).code == "L205"


# --- parquet, xlsx


def test_parquet_with_image_structs(tmp_path: Path) -> None:
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(5)]
    pl.DataFrame({"image": images, "label": list("abcab"), "meta": [{"w": i} for i in range(5)]}).write_parquet(tmp_path / "d.parquet")
    source = read("d.parquet", base=tmp_path)
    assert source.table.schema == {"image": pl.Binary, "label": pl.String, "meta.w": pl.Int64}
    assert source.table["image"][3] == png(3)
    assert source.origin.of(4) == (str(tmp_path / "d.parquet"), 5)
    assert fails(tmp_path, (tmp_path / "d.parquet").read_bytes()[:-7], "cut.parquet").code == "L204"
    assert fails(tmp_path, b"", "none.parquet").code == "L202"


def workbook(path: Path, rows: list[list[object]], title: str = "数据") -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    book.create_sheet("other").append(["z"])
    book.save(path)


def test_xlsx(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[list[object]] = [
        [],
        ["名称", "n", "x", "mixed", "flag"],
        ["甲", 1, 1.5, 1, True],
        ["乙", 2, None, "a", False],
        [],
        ["丙", 3, "#DIV/0!", 2.0, True],
        ["丁", 4, 2, 1, True, "more"],
    ]
    workbook(tmp_path / "d.xlsx", rows)
    source = read("d.xlsx", LENIENT, base=tmp_path)
    assert source.table.rows() == [("甲", 1, 1.5, "1", True), ("乙", 2, None, "a", False), ("丙", 3, None, "2", True)]
    assert [source.origin.of(i)[1] for i in range(3)] == [3, 4, 6]
    assert [(row.line, row.received) for row in source.rejects] == [(7, "'more'")]
    assert "W202" in caplog.text
    with pytest.raises(DataError, match=r"L218.*other"):
        read("d.xlsx", Reading(sheet="othr"), base=tmp_path)


def test_hostile_workbooks_are_refused_before_parsing(tmp_path: Path) -> None:
    workbook(tmp_path / "d.xlsx", [["a"], [1]])
    assert fails(tmp_path, (tmp_path / "d.xlsx").read_bytes(), "big.xlsx", max_unpacked=1000).code == "L205"
    with zipfile.ZipFile(tmp_path / "d.xlsx") as good, zipfile.ZipFile(tmp_path / "evil.xlsx", "w") as evil:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("sheet1.xml"):
                content = b'<!DOCTYPE x [<!ENTITY a "b">]>' + content
            evil.writestr(name, content)
    assert fails(tmp_path, (tmp_path / "evil.xlsx").read_bytes(), "evil.xlsx").code == "L204"
    assert fails(tmp_path, b"PK no zip", "no.xlsx").code == "L204"


# --- folders and media


def test_a_folder_per_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("cat/1.png", "cat/2.PNG", "dog/deep/3.png", ".hidden/4.png", "cat/.x.png", "cat/Thumbs.db"):
        write(tmp_path, png(), f"pets/{name}")
    write(tmp_path, "words", "pets/README.md")
    write(tmp_path, b"", "pets/dog/empty.png")
    write(tmp_path, png(), "pets/stray.png")
    source = read("pets", LENIENT, base=tmp_path)
    assert source.table.rows() == [(str(tmp_path / "pets/cat" / n), "cat") for n in ("1.png", "2.PNG")] + [
        (str(tmp_path / "pets/dog/deep/3.png"), "dog")
    ]
    assert source.splits is None
    assert source.origin.of(2)[0].endswith("3.png")
    assert {(Path(row.file).name, row.record) for row in source.rejects} == {("README.md", False), ("empty.png", True), ("stray.png", True)}
    assert "W204" in caplog.text


def test_a_folder_with_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("valid", 2), ("Test", 1)):
        for label in "ab":
            for i in range(count):
                write(tmp_path, png(), f"set/{split}/{label}/{i}.png")
    source = read("set", base=tmp_path)
    assert source.splits is not None
    assert np.bincount(source.splits).tolist() == [6, 4, 2]
    assert all(
        f"/{('train', 'valid', 'Test')[split]}/{label}/" in path
        for (path, label), split in zip(source.table.rows(), source.splits, strict=True)
    )


def test_empty_folder_and_sounds(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="L219"):
        read("none", base=tmp_path)
    write(tmp_path, b"RIFF", "sounds/yes/a.wav")
    assert read("sounds", base=tmp_path).table.columns == ["audio", "label"]


def test_columns_of_paths_are_seen_from_the_data_file(tmp_path: Path) -> None:
    write(tmp_path, png(), "data/img/1.png")
    write(tmp_path, png(), "data/img/3.png")
    write(tmp_path, "image,label\nimg/1.png,a\nimg/2.png,b\nimg/3.png,c\n", "data/d.csv")
    source = read("data/d.csv", LENIENT, base=tmp_path)
    assert source.table["image"].to_list() == [str(tmp_path / f"data/img/{i}.png") for i in (1, 3)]
    assert [(row.line, row.column, row.reason) for row in source.rejects] == [(3, "image", "no such file")]
    assert source.origin.of(1)[1] == 4
    assert read("data/d.csv", base=tmp_path, used=["label"]).table.height == 3


def test_paths_without_any_file_stay_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load(tmp_path, "image,label\n1.png,a\n2.png,b\n").table["image"].to_list() == ["1.png", "2.png"]
    assert "W206" in caplog.text


def test_resolve_names_each_fault(tmp_path: Path) -> None:
    write(tmp_path, b"", "empty.png")
    write(tmp_path, png(), "good.png")
    table = pl.DataFrame({"p": ["good.png", "empty.png", "http://x/y.png", None, str(tmp_path / "good.png"), "a\0b.png"]})
    out, faults = resolve(table, "p", tmp_path)
    assert set(faults) == {1, 2, 5}
    assert out["p"][0] == out["p"][4] == str(tmp_path / "good.png")
    assert out["p"][3] is None


# --- many files


def test_splits_lists_globs_and_tables_in_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, value in (("train", "007"), ("test", "12"), ("dev", "5")):
        write(tmp_path, f"id,y\n{value},1\n{value},0\n", f"set/{name}.csv")
    for data in ({"train": "set/train.csv", "validation": ["set/dev.csv"], "test": "set/te*.csv"}, "set"):
        source = read(data, base=tmp_path)
        assert source.splits is not None
        assert source.splits.tolist() == [0, 0, 1, 1, 2, 2]
        assert source.table["id"].to_list() == [
            "007",
            "007",
            "5",
            "5",
            "12",
            "12",
        ]  # typed together: the zeros of one file make names of all
        assert source.origin.of(4) == (str(tmp_path / "set/test.csv"), 2)
    assert read(["set/dev.csv", "set/test.csv"], base=tmp_path).splits is None
    assert read("set/*.csv", base=tmp_path).table.height == 6
    write(tmp_path, "id\n3\n", "short.csv")
    assert read({"train": "set/dev.csv", "test": "short.csv"}, base=tmp_path).table["y"].to_list() == [1, 0, None]
    assert "W203" in caplog.text


def test_formats_can_be_mixed(tmp_path: Path) -> None:
    write(tmp_path, "a,b\n1,x\n", "one.csv")
    write(tmp_path, '{"a": 2.5, "b": "y"}\n', "two.jsonl")
    assert read(["one.csv", "two.jsonl"], base=tmp_path).table.rows() == [(1.0, "x"), (2.5, "y")]
    write(tmp_path, '{"a": [1, 2], "b": "y"}\n', "three.jsonl")
    with pytest.raises(DataError, match="L216"):
        read(["one.csv", "three.jsonl"], base=tmp_path)


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    write(tmp_path, "a\n1\n", "reviews.csv")
    with pytest.raises(DataError) as caught:
        read("review.csv", base=tmp_path)
    assert (caught.value.code, caught.value.nearest()) == ("L200", "reviews.csv")
    for data, code in (("nowhere/x.csv", "L200"), ("*.parquet", "L200"), ([], "L200")):
        with pytest.raises(DataError, match=code):
            read(data, base=tmp_path)
    write(tmp_path, "x", "data.docx")
    with pytest.raises(DataError, match=r"L203.*csv"):
        read("data.docx", base=tmp_path)
    for data in ({"train": "reviews.csv", "tets": "reviews.csv"}, {"test": "reviews.csv"}):
        with pytest.raises(RecipeError, match="L121"):
            read(data, base=tmp_path)


@pytest.mark.parametrize("wrong", [{"delimiter": ",,"}, {"delimiter": "\uff0c"}, {"reject_limit": 2.0}])
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="L120"):
        Reading(**wrong)  # pyright: ignore[reportArgumentType]


def test_the_content_hash_follows_content_and_nothing_else(tmp_path: Path) -> None:
    for place in ("here", "there"):
        write(tmp_path, "a,b\n1,2\n", f"{place}/d.csv")
    first = read("d.csv", base=tmp_path / "here").content_hash()
    assert first == read("d.csv", base=tmp_path / "there").content_hash()
    content = hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert first == hashlib.sha256(f"\0d.csv\0{content}\n".encode()).hexdigest()
    write(tmp_path, "a,b\n1,3\n\n", "here/d.csv")
    assert first != read("d.csv", base=tmp_path / "here").content_hash()


def test_origin_is_compact_and_filters() -> None:
    origin = Origin.join([Origin.lines("a", np.arange(2, 1002)), Origin.lines("b", np.array([3, 5, 9]))])
    assert origin.spans[0].lines is None
    assert (origin.of(0), origin.of(999), origin.of(1002)) == (("a", 2), ("a", 1001), ("b", 9))
    mask = np.ones(1003, bool)
    mask[[1, 1000]] = False
    assert [origin.keep(mask).of(i) for i in (1, 999, 1000)] == [("a", 4), ("b", 5), ("b", 9)]
    for outside in (-1, 1003):
        with pytest.raises(IndexError):
            origin.of(outside)


def test_a_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    write(tmp_path, "a\n1\n", "locked.csv")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"L213.*Permission denied"):
        read("locked.csv", base=tmp_path)


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet", "d.xlsx", "d.csv.gz"])
def test_damaged_files_are_read_or_refused_never_a_traceback(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"n": range(53), "text": [f'好 {i}, "x"' for i in range(53)]})
    if name.endswith(".parquet"):
        table.write_parquet(tmp_path / name)
    elif name.endswith(".xlsx"):
        workbook(tmp_path / name, [table.columns, *map(list, table.rows())])
    else:
        text = (table.write_ndjson() if "json" in name else table.write_csv()).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(19):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        for content in (bytes(damaged), whole[: rng.integers(len(whole))]):
            (tmp_path / name).write_bytes(content)
            with contextlib.suppress(LubanError):
                read(name, LENIENT, base=tmp_path)


def test_reading_imports_no_torch() -> None:
    modules = "luban.data.reading, luban.data.inference, luban.data.checks, luban.examples"
    use = "from luban.data.readers import formats; [f.load() for f in formats().values()]"
    code = f"import sys, {modules}; {use}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
