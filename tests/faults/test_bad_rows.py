"""Every reject accounted: k faults of each kind planted in good rows are k rejects, each with file, line, column and reason; all other rows arrive."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import polars as pl
import pytest
from PIL import Image

from luban.cli import main as cli

ROWS = 311
KINDS = {"amount": "number", "day": "date", "city": "category"}
PLACES = [7, 11, 58, 59, 143, 200, 309]  # of the faults: two side by side, one near either end

Row = dict[str, str]


def rows() -> list[Row]:
    """Good rows, most of them not ASCII."""
    rng = np.random.default_rng(5)
    cities = ["杭州", "Wien", "北京", "成都"]
    return [
        {
            "amount": f"{rng.normal(50, 20):.3f}",
            "day": str(np.datetime64("2024-01-01") + int(rng.integers(0, 300))),
            "city": f"{cities[i % 4]}" if i % 4 else "杭州市",
            "label": "好" if rng.random() < 0.5 else "坏",
        }
        for i in range(ROWS)
    ]


def check(folder: Path, data: str, kinds: dict[str, str], capsys: pytest.CaptureFixture[str], limit: float = 1.0) -> tuple[int, dict]:
    """Exit code and JSON of `luban check`."""
    inputs = "\n".join(f'{name} = "{kind}"' for name, kind in kinds.items())
    text = f'task = "classification"\ndata = "{data}"\ntarget = "label"\n[inputs]\n{inputs}\n[reading]\nreject_limit = {limit}\n'
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    code = cli.run(["check", str(folder / "recipe.toml"), "--json"], as_json=True)
    out = capsys.readouterr().out.strip().splitlines()
    return code, json.loads(out[0])


def assert_accounted(found: dict, file: str, lines: list[int], column: str, reason: str, total: int = ROWS) -> None:
    """Exactly these rejects; the rest arrived."""
    assert [reject["line"] for reject in found["rejects"]] == lines
    for reject in found["rejects"]:
        assert Path(reject["file"]).name == file
        assert (reject["column"], reason in reject["reason"]) == (column, True), reject
    assert found["usable"] == total - len(lines)


# --- text: csv, tsv, jsonl


def cut_short(line: str, sep: str) -> bytes:
    return line.rsplit(sep, 1)[0].encode()


def with_more(line: str, sep: str) -> bytes:
    return f"{line}{sep}more".encode()


def put(place: int, value: str) -> Callable[[str, str], bytes]:
    """Another value in one field."""

    def changed(line: str, sep: str) -> bytes:
        fields = line.split(sep)
        fields[place] = value
        return sep.join(fields).encode()

    return changed


def raw(value: bytes) -> Callable[[str, str], bytes]:
    """Bytes in the middle of the third field."""

    def changed(line: str, sep: str) -> bytes:
        fields = [field.encode() for field in line.split(sep)]
        fields[2] = fields[2][:3] + value + fields[2][3:]
        return sep.encode().join(fields)

    return changed


DELIMITED = {
    "too few fields": (cut_short, "label", "3 fields, the header has 4"),
    "too many fields": (with_more, "label", "5 fields, the header has 4"),
    "no number": (put(0, "lots"), "amount", "not a number: 'lots'"),
    "no date": (put(1, "someday"), "day", "not a date"),
    "a day that is none": (put(1, "2024-13-45"), "day", "not a date"),
    "bad UTF-8": (raw(b"\xff"), "", "byte 0xFF"),
    "NUL": (raw(b"\0"), "", "NUL byte"),
    "open quote": (put(0, '"7'), "", "quote"),
    "text after a quote": (put(0, '"7"x'), "", "quote"),
    "no target": (put(3, ""), "label", "no target"),
}


def delimited(sep: str, fault: Callable[[str, str], bytes], places: list[int], encoding: str = "utf-8") -> bytes:
    """The file, with the fault at these rows."""
    lines = [sep.join(row.values()) for row in rows()]
    content = [fault(line, sep) if i in places else line.encode() for i, line in enumerate(lines)]
    return b"\n".join([sep.join(rows()[0]).encode(), *content]) + b"\n"


@pytest.mark.parametrize("k", [0, 1, 7])
@pytest.mark.parametrize(("name", "sep"), [("data.csv", ","), ("data.tsv", "\t")])
@pytest.mark.parametrize("fault", DELIMITED)
def test_delimited(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, name: str, sep: str, k: int) -> None:
    broken, column, reason = DELIMITED[fault]
    (tmp_path / name).write_bytes(delimited(sep, broken, PLACES[:k]))
    code, found = check(tmp_path, name, KINDS, capsys)
    assert code == 0
    assert_accounted(found, name, [place + 2 for place in PLACES[:k]], column, reason)


@pytest.mark.parametrize(("k", "code"), [(0, 0), (3, 0), (4, 3), (7, 3)])
@pytest.mark.parametrize("fault", ["too few fields", "no number", "bad UTF-8", "NUL"])
def test_over_one_percent_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, k: int, code: int) -> None:
    (tmp_path / "data.csv").write_bytes(delimited(",", DELIMITED[fault][0], PLACES[:k]))
    assert check(tmp_path, "data.csv", KINDS, capsys, limit=0.01)[0] == code  # 3 of 311 are 0.96 %, 4 are 1.3 %


def broken_surrogate(line: str) -> bytes:
    """UTF-16 whose third field holds half a character."""
    fields = line.split(",")
    fields[2] += "\ud83d"
    return ",".join(fields).encode("utf-16-le", "surrogatepass")


ENCODED: dict[str, tuple[bytes, str, Callable[[str], bytes], str]] = {
    "utf-8": (b"", "utf-8", lambda line: line.encode() + b"\xe6", "byte 0xE6"),
    "utf-8-sig": (b"\xef\xbb\xbf", "utf-8", lambda line: line.encode() + b"\xe6", "byte 0xE6"),
    "utf-16-le": (b"\xff\xfe", "utf-16-le", broken_surrogate, "not UTF-16"),
    "gb18030": (b"", "gb18030", lambda line: line.encode("gb18030") + b"\xff", "byte 0xFF"),
}


@pytest.mark.parametrize("k", [0, 1, 7])
@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings(tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, k: int) -> None:
    mark, codec, broken, reason = ENCODED[encoding]
    lines = [",".join(row.values()) for row in rows()]
    content = [broken(line) if i in PLACES[:k] else line.encode(codec) for i, line in enumerate(lines)]
    (tmp_path / "data.csv").write_bytes(mark + "\n".encode(codec).join([",".join(rows()[0]).encode(codec), *content]) + "\n".encode(codec))
    code, found = check(tmp_path, "data.csv", KINDS, capsys)
    assert code == 0
    assert_accounted(found, "data.csv", [place + 2 for place in PLACES[:k]], "", reason)


def with_value(**values: object) -> Callable[[Row], bytes]:
    """Another value under a name."""
    return lambda row: json.dumps({**row, "amount": float(row["amount"]), **values}, ensure_ascii=False).encode()


def good_line(row: Row) -> bytes:
    return with_value()(row)


JSON_LINES = {
    "broken": (lambda row: good_line(row)[:-9], "", "invalid JSON at character"),
    "no record": (lambda row: b"[1, 2]", "", "not a record"),
    "bad UTF-8": (lambda row: good_line(row)[:-1] + b"\xff}", "", "byte 0xFF"),
    "NUL": (lambda row: good_line(row).replace(b'"label"', b'"la\0bel"'), "", "NUL byte"),
    "too deep": (lambda row: b'{"amount": ' + b"[" * 300 + b"]" * 300 + b"}", "", "nested deeper than 200"),
    "a number that is none": (with_value(amount="lots"), "amount", "not a number: 'lots'"),
    "a list for a number": (with_value(amount=[1, 2]), "amount", "not a number"),
    "true for a number": (with_value(amount=True), "amount", "not a number"),
    "no date": (with_value(day="someday"), "day", "not a date"),
    "a number for a date": (with_value(day=5), "day", "not a date"),
    "no target": (with_value(label=None), "label", "no target"),
}


@pytest.mark.parametrize("k", [0, 1, 7])
@pytest.mark.parametrize("fault", JSON_LINES)
def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, k: int) -> None:
    broken, column, reason = JSON_LINES[fault]
    content = [broken(row) if i in PLACES[:k] else good_line(row) for i, row in enumerate(rows())]
    (tmp_path / "data.jsonl").write_bytes(b"\n".join(content) + b"\n")
    code, found = check(tmp_path, "data.jsonl", KINDS, capsys)
    assert code == 0
    assert_accounted(found, "data.jsonl", [place + 1 for place in PLACES[:k]], column, reason)


# --- parquet, xlsx


TABLES = {
    "no number": ("amount", "lots", "not a number: 'lots'"),
    "no date": ("day", "someday", "not a date"),
    "no target": ("label", None, "no target"),
}


@pytest.mark.parametrize("k", [0, 1, 7])
@pytest.mark.parametrize("fault", TABLES)
@pytest.mark.parametrize("name", ["data.parquet", "data.xlsx"])
def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, fault: str, k: int) -> None:
    column, value, reason = TABLES[fault]
    table = [{**row, column: value} if i in PLACES[:k] else row for i, row in enumerate(rows())]
    write_table(tmp_path / name, [list(row.values()) for row in table])
    code, found = check(tmp_path, name, KINDS, capsys)
    assert code == 0
    first = 1 if name.endswith("parquet") else 2
    assert_accounted(found, name, [place + first for place in PLACES[:k]], column, reason)


def write_table(path: Path, table: list[list[object]]) -> None:
    """A parquet file, or a workbook with numbers as numbers."""
    if path.suffix == ".parquet":
        pl.DataFrame(table, schema=list(rows()[0]), orient="row").write_parquet(path)
        return
    book = openpyxl.Workbook()
    book.active.append(list(rows()[0]))
    for amount, *others in table:
        book.active.append([amount if amount == "lots" else float(str(amount)), *others])
    book.save(path)


@pytest.mark.parametrize("k", [0, 1, 7])
def test_a_workbook_with_cells_beyond_the_header(tmp_path: Path, capsys: pytest.CaptureFixture[str], k: int) -> None:
    write_table(tmp_path / "data.xlsx", [[*row.values(), *(["more"] if i in PLACES[:k] else [])] for i, row in enumerate(rows())])
    code, found = check(tmp_path, "data.xlsx", KINDS, capsys)
    assert code == 0
    assert_accounted(found, "data.xlsx", [place + 2 for place in PLACES[:k]], "label", "5 fields, the header has 4")


# --- numbers that are none


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("k", [0, 1, 7])
def test_a_number_that_is_not_finite_is_counted_as_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, k: int) -> None:
    (tmp_path / "data.csv").write_bytes(delimited(",", put(0, value), PLACES[:k]))
    code, found = check(tmp_path, "data.csv", KINDS, capsys)
    counts = [finding["detail"] for finding in found["findings"] if finding["code"] == "W244"]
    assert (code, found["rejects"], found["usable"]) == (0, [], ROWS)
    assert counts == (
        []
        if not k
        else [f"{k if value == 'nan' else 0} values are NaN and {0 if value == 'nan' else k} infinite; they are read as missing"]
    )


@pytest.mark.parametrize("value", ["nan", "inf", ""])
@pytest.mark.parametrize("k", [0, 1, 7])
def test_a_target_that_is_not_finite_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, k: int) -> None:
    (tmp_path / "data.csv").write_bytes(delimited(",", put(0, value), PLACES[:k]))
    text = 'task = "regression"\ndata = "data.csv"\ntarget = "amount"\n[inputs]\nday = "date"\ncity = "category"\n'
    (tmp_path / "recipe.toml").write_text(text)
    assert cli.run(["check", str(tmp_path / "recipe.toml"), "--json"], as_json=True) == 0
    assert_accounted(json.loads(capsys.readouterr().out), "data.csv", [p + 2 for p in PLACES[:k]], "amount", "no target")


# --- pictures: in a folder, as paths of a csv, as bytes of a parquet file


def picture(number: int, form: str = "PNG") -> bytes:
    """Noise of 24 × 24 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (24, 24), dtype=np.uint8)).save(buffer, form)
    return buffer.getvalue()


def bomb() -> bytes:
    """A few bytes whose header promises 20,000 × 20,000 pixels."""
    data = bytearray(picture(0))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


PICTURES = {
    "no image": (b"this is no picture at all", "not an image"),
    "cut": (picture(0)[:200], "unreadable image"),
    "cut in the header": (picture(0)[:20], "image"),
    "cut jpeg": (picture(0, "JPEG")[:-200], "unreadable image"),
    "flipped": (picture(0)[:60] + bytes([picture(0)[60] ^ 255]) + picture(0)[61:], "unreadable image"),
    "bomb": (bomb(), "pixels"),
}
SIZE = 211


def pictures(fault: bytes, k: int) -> list[bytes]:
    """Good pictures, and the fault at its places."""
    return [fault if i in PLACES[:k] and i < SIZE else picture(i + 1) for i in range(SIZE)]


@pytest.mark.parametrize("k", [0, 1, 6])
@pytest.mark.parametrize("fault", PICTURES)
def test_pictures_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, k: int) -> None:
    content, reason = PICTURES[fault]
    for number, data in enumerate(pictures(content, k)):
        (tmp_path / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "ab"[number % 2] / f"{number:03d}.png").write_bytes(data)
    code, found = check(tmp_path, "data", {"image": "image"}, capsys)
    assert code == 0
    assert_files(found, [f"{place:03d}.png" for place in PLACES[:k]], reason)
    assert found["usable"] == SIZE - k


def assert_files(found: dict, names: list[str], reason: str) -> None:
    """One reject for each file, in the image column or as a whole."""
    assert sorted(Path(reject["file"]).name for reject in found["rejects"]) == names
    assert all(reason in reject["reason"] for reject in found["rejects"]), found["rejects"]


@pytest.mark.parametrize("k", [0, 1, 6])
def test_files_that_do_not_belong(tmp_path: Path, capsys: pytest.CaptureFixture[str], k: int) -> None:
    for number, data in enumerate(pictures(picture(0), 0)):
        (tmp_path / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "ab"[number % 2] / f"{number:03d}.png").write_bytes(data)
    for number in range(k):
        (tmp_path / "data" / "a" / f"empty{number}.png").write_bytes(b"")
        (tmp_path / "data" / "a" / f"sound{number}.wav").write_bytes(b"RIFF")
        (tmp_path / "data" / f"outside{number}.png").write_bytes(picture(1000 + number))
        (tmp_path / "data" / f"notes{number}.txt").write_bytes(b"notes")
    code, found = check(tmp_path, "data", {"image": "image"}, capsys)
    assert code == 0
    reasons = {
        name: [r["reason"] for r in found["rejects"] if Path(r["file"]).name.startswith(name)]
        for name in ("empty", "sound", "outside", "notes")
    }
    assert {name: len(said) for name, said in reasons.items()} == dict.fromkeys(reasons, k)
    assert found["usable"] == SIZE


@pytest.mark.parametrize("k", [0, 1, 6])
@pytest.mark.parametrize("fault", ["no image", "cut", "gone", "empty", "no path"])
def test_pictures_named_in_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, k: int) -> None:
    for number, data in enumerate(pictures(PICTURES.get(fault, (b"", ""))[0], k)):
        if data or fault == "empty":
            (tmp_path / f"{number:03d}.png").write_bytes(data)
    names = ["" if fault == "no path" and i in PLACES[:k] else f"{i:03d}.png" for i in range(SIZE)]
    (tmp_path / "data.csv").write_text("image,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)))
    code, found = check(tmp_path, "data.csv", {"image": "image"}, capsys)
    assert code == 0
    reason = {"gone": "no such file", "empty": "the file is empty", "no path": "the image is missing"}.get(fault) or PICTURES[fault][1]
    assert_accounted(found, "data.csv", [place + 2 for place in PLACES[:k]], "image", reason, SIZE)


@pytest.mark.parametrize("k", [0, 1, 6])
@pytest.mark.parametrize("fault", [*PICTURES, "missing"])
def test_pictures_in_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, k: int) -> None:
    content, reason = PICTURES.get(fault, (None, "the image is missing"))
    cells = [content if i in PLACES[:k] else data for i, data in enumerate(pictures(b"", 0))]
    table = {"image": [{"bytes": cell, "path": None} for cell in cells], "label": ["a", "b"] * (SIZE // 2) + ["a"]}
    pl.DataFrame(table, schema_overrides={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String})}).write_parquet(
        tmp_path / "data.parquet"
    )
    code, found = check(tmp_path, "data.parquet", {"image": "image"}, capsys)
    assert code == 0
    assert_accounted(found, "data.parquet", [place + 1 for place in PLACES[:k]], "image", reason, SIZE)


@pytest.mark.parametrize("length", range(5, 640, 13))
def test_a_cut_picture_is_a_reject_wherever_it_is_cut(length: int) -> None:
    from luban.kinds.image import Image as Kind

    spec = Kind.fit(pl.Series([picture(1)]), Kind.Config())
    whole = picture(2)
    assert length < len(whole) - 20
    faults = Kind.encode(pl.Series([whole, whole[:length]], dtype=pl.Binary), spec).faults
    assert list(faults) == [1]
