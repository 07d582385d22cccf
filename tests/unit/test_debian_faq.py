"""The examples of the Debian FAQ: only pages are read, questions leave the documents, gaps are places of the text; a failure names the way out."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archives import packed

from luban import examples
from luban import recipe as recipes
from luban.data.reading import read
from luban.errors import MachineError

ROOT = "./usr/share/doc/debian/FAQ/"
PAGE = """<html><body><h1>Chapter 5. Software</h1><p>Intro</p><h2>5.1. What   is it?</h2><p>It is a saw.</p>
<h2>5.2. Empty?</h2><h2>Not numbered</h2><p>x</p><h3>5.2.1. 怎么用？</h3><p>推。</p></body></html>"""


def pages_of(path: Path, members: dict[str, bytes]) -> bytes:
    return packed(path, members, f"{ROOT}evil.en.html", "w").read_bytes()


def archive(monkeypatch: pytest.MonkeyPatch, data: bytes, *, lists: bool = True) -> list[list[str]]:
    """apt and dpkg-deb that have the package; without lists apt has it only after an update. What they were asked."""
    asked: list[list[str]] = []

    def run(command: list[str], cwd: Path, **_: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        if "download" in command and not lists and "update" not in asked[-2 if len(asked) > 1 else 0]:
            return subprocess.CompletedProcess(command, 100, b"", b"E: Unable to locate package")
        if "download" in command:
            (Path(cwd) / "debian-faq_1.deb").write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, data if command[0] == "dpkg-deb" else b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.mark.parametrize("lists", [True, False])
def test_of_the_package_only_pages_are_read_and_questions_leave_the_documents(
    lists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (f"{ROOT}software.en.html", f"{ROOT}index.en.html", f"{ROOT}../../x.en.html", "./etc/x", f"{ROOT}zh-cn/hardware.zh-cn.html")
    data = pages_of(tmp_path / "pages.tar", {name: PAGE.encode() for name in names})
    asked = archive(monkeypatch, data, lists=lists)
    place = tmp_path / "faq"
    recipe = examples.fetch("debian-faq", place)
    assert ("update" in asked[1]) != lists
    found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*"))
    assert found == ["documents/software.md", "questions.csv", "recipe.toml"]
    rows = pl.read_csv(place / "questions.csv").rows()
    assert rows == [("What is it?", "It is a saw.", "software.md"), ("怎么用？", "推。", "software.md")]
    text = (place / "documents" / "software.md").read_text(encoding="utf-8")
    assert "What is it" not in text
    assert "## 5.1\n\nIt is a saw." in text
    recipes.read(recipe)


@pytest.mark.parametrize("page", [None, b"", b"\xff", b"<p>No heading.</p>"])
def test_a_damaged_package_is_one_error(page: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(monkeypatch, b"no tar" * 1000 if page is None else pages_of(tmp_path / "pages.tar", {f"{ROOT}a.en.html": page}))
    for name in ("debian-faq", "debian-gaps"):
        with pytest.raises(MachineError) as caught:
            examples.fetch(name, tmp_path / name)
        assert caught.value.code == "L503"


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("apt-get")))
    with pytest.raises(MachineError) as caught:
        examples.fetch("debian-faq", tmp_path)
    assert caught.value.code == "L502"
    assert "apt" in caught.value.fix


def test_gaps_are_places_of_the_text_and_none_where_the_word_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = "<h2>5.{n}. Q{n}?</h2><p>The carpenter of old named Lu Ban{n} built saw-{n}.x in the year 50{n} for everyone here. It was sold to Mister Mo{n} of Song.</p>"
    page = "<html><body>" + "".join(section.replace("{n}", str(n)) for n in range(1, 6)) + "</body></html>"
    archive(monkeypatch, pages_of(tmp_path / "pages.tar", {f"{ROOT}a.en.html": page.encode()}))
    recipe = examples.fetch("debian-gaps", tmp_path)
    source = read("gaps.json", base=tmp_path)
    assert not source.rejects
    rows = source.table.to_dicts()
    held = [row for row in rows if row["answers"]]
    assert len(held) >= 5
    for row in held:
        (word,), (begin,) = row["answers"], row["answer_start"]
        assert row["context"][begin : begin + len(word)] == word
        before, after = row["question"].split("____")
        assert " ".join(row["context"].split()).find(f"{before}{word}{after}") >= 0
    assert [row for row in rows if row["answers"] == []]
    recipes.read(recipe)
