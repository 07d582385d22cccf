"""Plain text: pieces that are the document again, paragraphs, lines, folders, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban.data.reading import Reading, read
from luban.errors import DataError

FILE = Reading(text="file")
TALE = "".join(f"Line {n} of the tale, 第{n}行。\n" for n in range(400))


def put(place: Path, name: str, text: str | bytes) -> Path:
    """A file."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_pieces_put_together_are_the_file(tmp_path: Path) -> None:
    put(tmp_path, "tale.txt", TALE)
    source = read("tale.txt", FILE, base=tmp_path)
    assert "".join(source.table["text"]) == TALE
    assert source.table["document"].unique().to_list() == ["tale.txt"]
    assert source.table.height > 100
    assert max(map(len, source.table["text"])) <= 64
    lines = [source.origin.of(row)[1] for row in range(source.table.height)]
    assert lines == sorted(lines)
    assert lines[-1] >= 398


def test_a_text_without_ends_of_lines_is_cut_too(tmp_path: Path) -> None:
    for text in ("天地玄黄" * 100, "word " * 200, "x" * 1000):
        put(tmp_path, "one.txt", text)
        assert "".join(read("one.txt", FILE, base=tmp_path).table["text"]) == text


def test_paragraphs_and_lines_are_documents(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "one\ntwo\n\n \nthree\n\n\n")
    assert read("a.txt", Reading(text="paragraph"), base=tmp_path).table["text"].to_list() == ["one\ntwo", "three\n\n\n".rstrip()]
    found = read("a.txt", Reading(text="line"), base=tmp_path)
    assert found.table["text"].to_list() == ["one", "two", "three"]
    assert found.table.columns == ["text"]
    assert [found.origin.of(row)[1] for row in range(3)] == [1, 2, 5]


def test_a_folder_of_texts_and_its_splits(tmp_path: Path) -> None:
    for name in ("train/a.txt", "train/deep/b.md", "test/c.txt"):
        put(tmp_path, f"corpus/{name}", f"This is {name}.")
    put(tmp_path, "corpus/train/notes.pdf", b"%PDF")
    source = read("corpus", FILE, base=tmp_path)
    assert dict(zip(source.table["document"], source.splits.tolist(), strict=True)) == {
        "train/a.txt": 0,
        "train/deep/b.md": 0,
        "test/c.txt": 2,
    }
    assert [Path(reject.file).name for reject in source.rejects] == ["notes.pdf"]


def test_chinese_encodings_are_read(tmp_path: Path) -> None:
    put(tmp_path, "gb.txt", ("天地玄黄，宇宙洪荒。\n" * 9).encode("gb18030"))
    assert "".join(read("gb.txt", FILE, base=tmp_path).table["text"]) == "天地玄黄，宇宙洪荒。\n" * 9


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("e.txt", b"", "L202"), ("z.txt", b"\0" * 99, "L202"), ("b.txt", b"\x89PNG\r\n\x1a\n\xff\xfe\xfd\x81\xff \xff\n" * 9, "L2")],
)
def test_what_is_no_text_is_named(name: str, content: bytes, code: str, tmp_path: Path) -> None:
    put(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read(name, FILE, base=tmp_path)
    assert caught.value.code.startswith(code)


def test_a_line_of_invalid_utf8_is_left_out_and_named(tmp_path: Path) -> None:
    lines = [f"第{n}行 is fine\n".encode() for n in range(300)]
    lines[99] = b"broken \xe5\xa4 line\n"
    put(tmp_path, "mostly.txt", b"".join(lines))
    source = read("mostly.txt", Reading(text="file", reject_limit=0.05), base=tmp_path)
    assert [reject.line for reject in source.rejects] == [100]
    assert "broken" not in "".join(source.table["text"])


def test_a_table_stays_a_table(tmp_path: Path) -> None:
    put(tmp_path, "table.txt", "a\tb\n1\t2\n")
    assert read("table.txt", Reading(), base=tmp_path).table.columns == ["a", "b"]
    assert read("table.txt", Reading(text="table"), base=tmp_path).table.columns == ["a", "b"]
