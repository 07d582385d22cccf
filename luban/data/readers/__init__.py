"""Readers, one file per format: found by its name, chosen by the suffixes it states.

A reader file states `SUFFIXES` (or `FOLDER = True`) and has `read(path, options) -> Part`. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import importlib
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

STATED = ("SUFFIXES", "FOLDER", "WRITTEN")


@dataclass(frozen=True)
class Format:
    """A reader as far as it can be known without running it."""

    name: str
    summary: str
    suffixes: tuple[str, ...]
    folder: bool
    written: tuple[str, ...] = ()  # suffixes of plain text

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
        found[path.stem] = Format(
            path.stem, summary, tuple(stated.get("SUFFIXES", ())), bool(stated.get("FOLDER", False)), tuple(stated.get("WRITTEN", ()))
        )
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
    plain = formats()["text"]
    if text not in (None, "table") and (path.is_dir() or path.name.lower().endswith(plain.written)):
        return plain
    if path.is_dir():
        return next(entry for entry in formats().values() if entry.folder)
    if sides(path):
        return formats()["parallel"]
    if suffix := suffix_of(path):
        return suffixes()[suffix]
    raise DataError(
        "L203",
        tr("no reader knows this format"),
        where=path.name,
        received="".join(path.suffixes[-2:]).lower(),
        allowed=sorted(suffixes()),
        fix=tr("save it as csv, jsonl, parquet or xlsx, or rename it"),
    )
