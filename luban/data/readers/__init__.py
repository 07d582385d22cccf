"""Readers, one file per format: found by its name, chosen by the suffixes it states.

A reader file states `SUFFIXES` (or `FOLDER = True`) and has `read(path, options) -> Part`. Nothing here imports torch. A reader that
shares a suffix with another states `SHARED`, and `SIGN`, a pattern that the beginning of its files has and those of the other have not.
"""

from __future__ import annotations

import ast
import gzip
import importlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from luban.data.readers.parallel import sides
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading
    from luban.data.source import Part

STATED = ("SUFFIXES", "FOLDER", "WRITTEN", "FORMS", "SHARED", "SIGN")
HEAD = 4096  # bytes that show whose a file is


@dataclass(frozen=True)
class Format:
    """A reader as far as it can be known without running it."""

    name: str
    summary: str
    suffixes: tuple[str, ...]
    folder: bool
    written: tuple[str, ...] = ()  # suffixes of plain text
    forms: tuple[str, ...] = ()  # of plain text that it reads: what the recipe says under reading.text
    shared: tuple[str, ...] = ()  # suffixes that are another reader's, unless the file begins as `sign` says
    sign: str = ""

    def load(self) -> Callable[[Path, Reading], Part]:
        """The reader's `read`; imports its file."""
        return importlib.import_module(f"luban.data.readers.{self.name}").read


@cache
def formats() -> dict[str, Format]:
    """Every reader by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        stated = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in STATED
        }
        summary = (ast.get_docstring(tree) or "").split("\n")[0]
        lists = {name.lower(): tuple(stated.get(name, ())) for name in ("SUFFIXES", "WRITTEN", "FORMS", "SHARED")}
        found[path.stem] = Format(path.stem, summary, folder=bool(stated.get("FOLDER", False)), sign=stated.get("SIGN", ""), **lists)
    return found


def suffixes() -> dict[str, Format]:
    """`.csv` -> its reader, for every suffix known."""
    return {suffix: entry for entry in formats().values() for suffix in entry.suffixes}


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case, `.csv.gz` whole; "" when no reader knows it."""
    name, known = path.name.lower(), suffixes()
    return next((suffix for suffix in sorted(known, key=len, reverse=True) if name.endswith(suffix)), "")


def reader_for(path: Path, text: str | None = None) -> Format:
    """The reader of a file or a folder; `text` is what the recipe says of plain text. Raises DataError L203 for a format no reader states."""
    for plain in formats().values():
        if text in plain.forms and (path.is_dir() or path.name.lower().endswith(plain.written)):
            return plain
    if path.is_dir():
        return next(entry for entry in formats().values() if entry.folder)
    if sides(path):
        return formats()["parallel"]
    if suffix := suffix_of(path):
        return sharing(path, suffix) or suffixes()[suffix]
    raise DataError(
        "L203",
        tr("no reader knows this format"),
        where=path.name,
        received="".join(path.suffixes[-2:]).lower(),
        allowed=sorted(suffixes()),
        fix=tr("save it as csv, jsonl, parquet or xlsx, or rename it"),
    )


def sharing(path: Path, suffix: str) -> Format | None:
    """The reader that knows the file by its beginning; None where it is as its suffix says."""
    able = [entry for entry in formats().values() if suffix in entry.shared]
    if not able:
        return None
    try:
        with gzip.open(path) if suffix.endswith(".gz") else path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, EOFError, zlib.error):
        return None  # its own reader says what is wrong with it
    text = head.replace(b"\0", b"").decode("utf-8", "replace")  # of UTF-16 every other byte
    return next((entry for entry in able if re.search(entry.sign, text)), None)
