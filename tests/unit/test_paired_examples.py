"""Examples of pairs: what apt and pip bring becomes tables, nothing else is touched, and a failure names the way out."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archives import packed

from luban import examples, recipe
from luban.errors import MachineError
from luban.examples import packages

ENGLISH = """Package: a
Description-md5: 11
Description-en: game of go
 Plays go.
 Well.
 .
 Second paragraph.

Package: b
Description-md5: 22
Description-en: library
 A list:
  * one
  * two
 .
 Last.
"""
FRENCH = """Package: a
Description-md5: 11
Description-fr: jeu de go
 Joue au go.
 .
 Second paragraphe.

Package: b
Description-md5: 22
Description-fr: bibliothèque
 Une liste.

Package: c
Description-md5: 33
Description-fr: seul
"""
PAGE = "<html><body><h1>{0} one</h1><ul><li><p>{0} two</p></li><li>{0} <b>three</b></li></ul><p>12</p></body></html>"


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """apt, pip and dpkg-deb as they would answer; what they were asked."""
    asked: list[list[str]] = []
    root = "./usr/share/debian-reference/"
    pages = {"ch01.en": PAGE.format("Part"), "ch01.zh-cn": PAGE.format("部分"), "ch02.en": "<p>Alone here</p>"}
    pages |= {"ch02.zh-cn": "<h1>不同</h1><p>两块</p>", "ch03.zh-cn": PAGE.format("外"), "../ch01.zh-cn": PAGE.format("外")}
    files = {f"{root}{name}.html": page.encode() for name, page in pages.items()}
    book = packed(tmp_path_factory.mktemp("book") / "book.tar", files, f"{root}ch03.en.html", "w").read_bytes()

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        lists = next((Path(part.split("=", 1)[1]) for part in command if part.startswith("Dir::State::lists=")), None)
        if "update" in command and lists is not None:
            (lists / "x_i18n_Translation-en").write_text(ENGLISH, encoding="utf-8")
            (lists / "x_i18n_Translation-fr").write_text(FRENCH, encoding="utf-8")
        elif "download" in command:
            (Path(options["cwd"]) / "m.deb").write_bytes(b"")
        elif command[0] == "dpkg-deb":
            return subprocess.CompletedProcess(command, 0, book, b"")
        return subprocess.CompletedProcess(command, 0, b"", b"")

    sentences = [{"translation": {"en": "Hello."}, "chinese": "你好。"}]
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(packages, "pip", lambda package, sha256, place: place)
    monkeypatch.setattr(packages, "of_wheel", lambda wheel, members: {members[0]: json.dumps(sentences).encode()})
    return asked


def test_descriptions_are_paired_by_their_checksum(tmp_path: Path, archive: list[list[str]]) -> None:
    made = examples.fetch("en-fr", tmp_path)
    assert pl.read_csv(tmp_path / "en-fr.csv").rows() == [
        ("Plays go. Well.", "Joue au go."),
        ("Second paragraph.", "Second paragraphe."),
        ("game of go", "jeu de go"),
        ("library", "bibliothèque"),
    ]
    task = recipe.read(made).make_task()
    assert (task.config.target, task.config.baselines) == ("fr", ("word_table",))
    assert all(str(tmp_path) not in " ".join(command) for command in archive)  # apt writes into a folder of its own
    count = len(archive)
    examples.fetch("en-fr", tmp_path)
    assert len(archive) == count


def test_synopses_leave_lists_out_and_know_their_families(tmp_path: Path, archive: list[list[str]]) -> None:
    made = examples.fetch("synopses", tmp_path)
    table = pl.read_csv(tmp_path / "synopses.csv")
    assert table.select("description", "synopsis").rows() == [("Plays go. Well. Second paragraph.", "game of go")]
    assert recipe.read(made).make_task().config.scores[0] == "rouge_1"


def test_a_manual_is_paired_block_by_block_where_its_chapters_agree(tmp_path: Path, archive: list[list[str]]) -> None:
    examples.fetch("en-zh", tmp_path)
    assert set(pl.read_csv(tmp_path / "en-zh.csv").rows()) == {
        ("Hello.", "你好。"), ("Part one", "部分 one"), ("Part two", "部分 two"), ("Part three", "部分 three"),
    }  # fmt: skip


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("apt-get")

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(MachineError, match=r"L502.*luban example digits"):
        examples.fetch("en-de", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 100, b"", b"E: no network"))
    with pytest.raises(MachineError, match=r"L502.*de"):
        examples.fetch("en-de", tmp_path)
    with pytest.raises(MachineError, match=r"L502.*no network"):
        packages.apt(["download", "x"], tmp_path)


def test_echo_is_made_the_same_each_time_and_tests_what_was_not_taught(tmp_path: Path) -> None:
    made = examples.fetch("echo", tmp_path)
    train, test = (pl.read_csv(tmp_path / f"{name}.csv") for name in ("train", "test"))
    assert (len(train), len(test)) == (20_000, 200)
    assert not set(train["source"]) & set(test["source"])
    assert {symbol for text in train["source"] for symbol in text.split()} == {f"s{n:02}" for n in range(1, 40)}
    assert (train["source"] == train["target"]).all()
    assert tomllib.loads(made.read_text(encoding="utf-8"))["training"]["steps"] == 1500
