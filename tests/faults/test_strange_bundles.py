"""Nothing in a bundle can run code, reach outside its folder, or take the machine's memory: whatever a stranger sends is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import BASES, copied, edit, make
from hostile import CASES, SLOTS, resigned

import luban
from luban.bundle import format as layout
from luban.errors import BundleError

FOLDER = Path(__file__).parent
LIMIT_S = 20.0  # the promise is a second on an idle machine
MEMORY_KB = 300_000
UNSIGNED = "MANIFEST.json"
HARMLESS = {"card.md", "report.json"}  # never read as anything but bytes, never shown


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good bundle of each kind."""
    folder = tmp_path_factory.mktemp("good")
    for base in BASES:
        make(folder / base, base)
    return folder


class Server:
    """Opens bundles, one process each."""

    def __init__(self, place: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(FOLDER.parents[1]), "LUBAN_LANG": "en"}
        command = [sys.executable, str(FOLDER / "fork_server.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place, env=environment)

    def open(self, folder: Path) -> dict[str, Any]:
        """What came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Imports once, forks for each bundle."""
    found = Server(tmp_path_factory.mktemp("place"))
    yield found
    assert found.process.stdin is not None
    assert found.process.stdout is not None
    found.process.stdin.close()
    found.process.stdout.close()
    found.process.wait(30)


@pytest.mark.parametrize("base", BASES)
def test_a_good_bundle_opens_within_the_bounds(base: str, good: Path, server: Server) -> None:
    found = server.open(good / base)
    assert (found["code"], found["events"]) == ("opened", []), found
    assert found["kilobytes"] < MEMORY_KB


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_bundle_is_refused(name: str, signed: bool, good: Path, server: Server, tmp_path: Path) -> None:
    base, spoil = CASES[name]
    (tmp_path / "secret").write_text('{"password": 1}')
    before = sorted((good / base).iterdir())
    folder = copied(good / base, tmp_path / "bundle")
    spoil(folder)
    if signed and not name.startswith("a manifest") and (folder / UNSIGNED).is_file() and not (folder / UNSIGNED).is_symlink():
        resigned(folder)
    found = server.open(folder)
    if signed and name.startswith("pickle as") and name.split()[-1] in HARMLESS - {"report.json"}:
        assert found["code"] == "opened"
    else:
        assert found["code"].startswith("L4"), found
        assert "\n" not in found["line"]
    assert found["events"] == [], found
    assert not found["moved"]
    assert found["seconds"] < LIMIT_S, found
    assert found["kilobytes"] < MEMORY_KB, found
    assert not (folder / "canary").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "secret"]
    assert sorted((good / base).iterdir()) == before


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every value, of lists the first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from leaves(part, (*path, key))


@pytest.mark.parametrize("name", ["luban.json", "state.json"])
@pytest.mark.parametrize("base", ["mixed", "picture", "series", "number"])
def test_a_value_of_another_type_is_refused_or_does_no_harm(base: str, name: str, good: Path, tmp_path: Path) -> None:
    original = json.loads((good / base / name).read_text())
    folder, opened, refused = copied(good / base, tmp_path / "bundle"), 0, 0
    for path in leaves(original):
        for other in (None, True, "x", -1, 1e308, 10**40, [], {}, [[]], {"kind": "x"}):
            shutil.copy(good / base / name, folder / name)
            if path:
                edit(folder, name, lambda found, path=path, other=other: put(found, path, other))
            else:
                (folder / name).write_text(json.dumps(other))
            resigned(folder)
            try:
                luban.load(folder)
                opened += 1
            except BundleError:
                refused += 1
    assert refused > 50
    assert refused > opened or name == "luban.json"  # most of what is written there only says how it was trained


def put(value: Any, path: tuple[Any, ...], other: Any) -> None:
    """Set what a path leads to."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = other


@pytest.mark.parametrize("name", [*SLOTS, "MANIFEST.json"])
def test_one_flipped_bit_is_refused(name: str, good: Path, tmp_path: Path) -> None:
    folder = copied(good / "mixed", tmp_path / "bundle")
    data = (folder / name).read_bytes()
    places = range(0, len(data) * 8, max(1, len(data) * 8 // 400) | 1)
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        (folder / name).write_bytes(flipped)
        if name == "MANIFEST.json" and json_or_none(flipped) == json.loads(data):
            continue  # white space that says nothing
        with pytest.raises(BundleError):
            luban.load(folder)
    (folder / name).write_bytes(data)
    luban.load(folder)


def json_or_none(data: bytes) -> Any:
    """The value, if it is one."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def test_markup_in_a_bundle_is_never_shown(good: Path, tmp_path: Path) -> None:
    folder = copied(good / "mixed", tmp_path / "bundle")
    (folder / "card.md").write_text("<script>alert(1)</script>")
    edit(folder, "report.json", lambda found: {"run": {"name": "<img src=x onerror=alert(1)>"}})
    resigned(folder)
    before = sorted(path.name for path in folder.iterdir())
    assert luban.load(folder).predict([{"t": "好", "x": 1, "c": "Wien", "d": None, "g": "new"}])
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_bundle_of_the_first_format_answers_the_same(tmp_path: Path) -> None:
    folder = copied(FOLDER / "format_1", tmp_path / "old")
    model = luban.load(folder)
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    answers = model.predict([line["input"] for line in lines])
    assert [answer["label"] for answer in answers] == [line["answer"]["label"] for line in lines]
    assert [a["confidence"] for a in answers] == pytest.approx([line["answer"]["confidence"] for line in lines], abs=1e-4)
    assert json.loads((folder / "luban.json").read_text())["format"] == 1, "a migration writes nothing"


def test_a_newer_format_is_refused_by_name(good: Path, tmp_path: Path) -> None:
    folder = copied(good / "mixed", tmp_path / "bundle")
    for name in ("luban.json", "MANIFEST.json"):
        edit(folder, name, lambda found: found.update(format=layout.FORMAT + 1))
    with pytest.raises(BundleError) as caught:
        luban.load(folder)
    assert caught.value.code == "L402"
