"""Whatever stands in a recipe, reading it ends in a recipe or in one coded error: at once, in little memory, with no other file opened."""

from __future__ import annotations

import os
import random
import resource
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from luban.errors import LubanError
from luban.recipe import copy_tables, parse, read, toml_key, toml_value

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
FEW, MANY = 1500, 10_000
LIMIT_S = 10.0  # the promise is a second on an idle machine
MEMORY_KB = 200_000
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3, 10**12, -(10**12), 2**63, 10**400, 0.0, -0.5, 0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"),
    "", " ", "x", "auto", "mlp", "text", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/", "~root", "$HOME", "${PATH}", "`id`",
    "os.system", "__import__('os').system('id')", "luban.errors.LubanError", "\0", "a\0b", "\ud83d\ude00", "\u202etxt", "名前", "x" * 100_000, "9" * 10_000,
    "%s%n", "{0.__class__}", "1 min", "1e400 min", "999999999999999999999 h", [], [[]], [1, "a"], ["mlp"] * 10_000, {}, {"kind": "mlp"}, {"kind": {}},
    {"kind": "mlp", "hidden": [10**12]}, {"kind": "mlp", "hidden": [1] * 100_000}, {"": {"": {}}}, {"kind": None}, {"\0": "\0"},
]  # fmt: skip
KEYS = ["kind", "size", "encoders", "hidden", "max_length", "", "\0", "__class__", "weights"]
SETS = ["", "=", "a", "a=", "=1", "training.epochs=1e999", "training.epochs=" + "9" * 5000, "task.kind.x=1", "model=mlp", "model.hidden=[1000000000000]",
        "inputs.\0=1", "a.b.c.d=1", "training=1", "data=/etc/passwd", "x" * 10_000 + "=1", "training.seed=" + "[" * 3000, "inputs..=1", "....=1",
        "model.encoders.text.kind=lstm", "evaluation.metrics=accuracy", "training.budget=1 min", "target={}", "target='''", "data.train=a.csv", "split.by=last",
        "training.epochs=1979-05-27", "training.epochs=07:32:00", "training.epochs=nan", "training.epochs=0x10", "model.kind=\ud800", "model.a\nb=1"]  # fmt: skip
BYTES = [b"\0", b"\xff", b"\xef\xbb\xbf", b"=", b"[", b"]", b"[[", b'"', b'"""', b"'''", b"\n", b"\r", b"#", b"{", b"}", b",", b".", b"-", b"1e999", b"inf",
         b"nan", b"9" * 5000, b"[" * 5000, b"{a=" * 2000, b"a." * 5000, b"\\u0000", b"\\UFFFFFFFF", b"1979-13-41", b"\xf0\x9f\x98\x80"]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def changed(raw: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The recipe with a value, a key or a table changed somewhere, up to three times."""
    raw = copy_tables(raw)
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(list(places(raw)) or [("task",)])
        table: Any = raw
        for key in way:
            table = table[key]
        match rng.randrange(5):
            case 0:
                del table[last]
            case 1 if isinstance(table, dict):
                table[mangled(str(last), rng)] = table.pop(last)
            case 2 if isinstance(table, dict):
                table[rng.choice(KEYS)] = copy_tables(rng.choice(VALUES))
            case _:
                table[last] = copy_tables(rng.choice(VALUES))
    return raw


def mangled(text: str, rng: random.Random) -> str:
    """A name with a letter lost, doubled or strange."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(["", "x", "\0", "é", ".", "/", text]) + text[at + rng.randint(0, 1) :]


def garbled(data: bytes, rng: random.Random) -> bytes:
    """The file with bytes lost, moved or put in."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        to = min(to, at + 40)
        data = data[:at] + rng.choice([b"", data[at:to] * 2, rng.choice(BYTES), bytes(rng.randrange(256) for _ in range(3))]) + data[to:]
    return data


def of_seed(seed: int, folder: Path) -> Callable[[], Any]:
    """One input: garbled bytes, a changed structure, the same written as TOML, or strange assignments."""
    rng = random.Random(seed)
    path = rng.choice(RECIPES)
    raw = tomllib.loads(path.read_text())
    match seed % 4:
        case 0:
            (folder / "r.toml").write_bytes(garbled(path.read_bytes(), rng))
            return lambda: read(folder / "r.toml")
        case 1:
            values = changed(raw, rng)
            return lambda: parse(values, base=folder)
        case 2:
            lines = [f"{toml_key(str(key))} = {toml_value(value)}" for key, value in changed(raw, rng).items() if value is not None]
            (folder / "r.toml").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
            return lambda: read(folder / "r.toml")
        case _:
            sets = tuple(rng.choice(SETS) for _ in range(rng.randint(1, 3)))
            return lambda: parse(raw, base=folder, sets=sets)


OPENED: list[str] = []
WATCHING: list[Path] = []


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep the name of a file opened while a recipe is read, but for Python's own and ours."""
    if WATCHING and event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if "__editable__" not in path and not path.startswith((str(WATCHING[0]), str(ROOT / "luban"), sys.prefix, sys.base_prefix)):
            OPENED.append(path)
    elif WATCHING and event.startswith(("subprocess.", "os.system", "os.exec", "socket.connect", "exec_", "os.remove", "os.rename")):
        OPENED.append(event)


@pytest.fixture(scope="module", autouse=True)
def _watched() -> None:
    """An audit hook can't be taken away again: one for all."""
    sys.addaudithook(note)


@contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Files are noted within."""
    OPENED.clear()
    WATCHING.append(folder)
    try:
        yield
    finally:
        WATCHING.clear()


def fuzz(seeds: range, folder: Path) -> int:
    """How many were read as a recipe; anything but a recipe or a LubanError is a failure."""
    lines: list[str] = []
    good, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        attempt, begun = of_seed(seed, folder), time.monotonic()
        with watching(folder):
            try:
                attempt()
                good += 1
            except LubanError as error:
                lines.append(error.line())
            except Exception as error:  # noqa: BLE001 what else comes is the failure that is looked for
                pytest.fail(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
        assert time.monotonic() - begun < LIMIT_S, seed
        assert not OPENED, (seed, OPENED)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB
    assert not [line for line in lines if "\n" in line]
    return good


def test_a_fuzzed_recipe_is_read_or_refused(tmp_path: Path) -> None:
    good = fuzz(range(FEW), tmp_path)
    assert FEW * 0.03 < good < FEW * 0.7, "the fuzzer changes nothing, or all"


@pytest.mark.slow
def test_ten_thousand_fuzzed_recipes_are_read_or_refused(tmp_path: Path) -> None:
    assert fuzz(range(FEW, FEW + MANY), tmp_path)
