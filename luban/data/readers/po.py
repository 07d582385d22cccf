"""PO: the message catalogues of programs; columns `source`, `target`, and `context` where messages have one.

What is not translated, or only guessed (`fuzzy`), has no target. Of a message with a plural both forms are rows.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.encoding import load, unpack
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".po", ".po.gz")
LINE = re.compile(r'(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[\d{1,2}\])?)[ \t]*)?"((?:[^"\\]|\\.)*)"[ \t]*')
ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)")
LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
CHARSET = re.compile(rb"charset=([A-Za-z0-9_.:-]{1,40})")
HEADER = 1 << 14  # bytes in which the header stands


@dataclass
class Entry:
    """One message."""

    line: int
    parts: dict[str, str] = field(default_factory=dict)
    fuzzy: bool = False
    fault: str = ""

    @property
    def whole(self) -> bool:
        """Whether its translation has begun, so that another message may follow."""
        return any(name.startswith("msgstr") for name in self.parts)


@dataclass
class Catalogue:
    """Rows of messages."""

    rows: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    fuzzy: int = 0

    def add(self, line: int, forms: list[tuple[str, str]], context: str | None, *, fuzzy: bool = False) -> None:
        """The singular with its translation, the plural with the last."""
        self.fuzzy += fuzzy
        for source, target in forms:
            self.rows.append((source, target if target and not fuzzy else None, context))
            self.lines.append(line)

    def part(self, path: Path, rejects: list[BadRow]) -> Part:
        """As a table. Raises DataError L202 for a catalogue without a message."""
        if not self.rows and not rejects:
            raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
        schema = {"source": pl.String, "target": pl.String, "context": pl.String}
        table = pl.DataFrame(self.rows, schema=schema, orient="row")
        if table["context"].null_count() == len(table):
            table = table.drop("context")
        facts = {"count": f"{len(table):,}", "open": table["target"].null_count(), "fuzzy": self.fuzzy}
        note = tr("{file}: {count} messages, {open} without a translation ({fuzzy} fuzzy)", file=path.name, **facts)
        return Part(table, Origin.lines(path, np.array(self.lines, np.int64)), rejects, notes=(note,))


def read(path: Path, options: Reading) -> Part:
    """One row a message. Raises DataError L202, L204 … L207."""
    text = load(path, replace(options, encoding=options.encoding or stated(path, options)))
    found, rejects = Catalogue(), []
    for entry in entries(text.data.decode().split("\n"), text.bad):
        if entry.fault:
            rejects.append(BadRow(str(path), entry.line, "", entry.fault, entry.parts.get("msgid", "")[:80]))
        elif entry.parts.get("msgid"):  # the one without is the header
            found.add(entry.line, forms_of(entry.parts), entry.parts.get("msgctxt"), fuzzy=entry.fuzzy)
    return found.part(path, rejects)


def stated(path: Path, options: Reading) -> str | None:
    """The encoding that the header names, where it is not UTF-8."""
    raw = unpack(path, options) if path.name.lower().endswith(".gz") else path.read_bytes()
    found = CHARSET.search(raw[:HEADER])
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return None  # `CHARSET` of a template: found out as of any text
    return None if name in ("utf-8", "ascii") else name


def forms_of(parts: dict[str, str]) -> list[tuple[str, str]]:
    """(source, target) of the message, and of its plural."""
    if "msgid_plural" not in parts:
        return [(parts["msgid"], parts.get("msgstr", ""))]
    last = max((name for name in parts if name.startswith("msgstr[")), key=lambda name: int(name[7:-1]), default="")
    found = [(parts["msgid"], parts.get("msgstr[0]", ""))]
    return found + ([(parts["msgid_plural"], parts[last])] if last not in ("", "msgstr[0]") else [])


def entries(lines: list[str], bad: dict[int, str]) -> Iterator[Entry]:
    """Messages as they stand; those put out of use (`#~`) are comments."""
    entry, last, fuzzy = Entry(1), "", False
    for number, line in enumerate([*lines, ""], start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            if entry.whole or entry.fault:
                yield entry
                entry, last, fuzzy = Entry(number), "", False
            fuzzy = fuzzy or (text.startswith("#,") and "fuzzy" in text)
            continue
        found = LINE.fullmatch(text)
        name = (found[1] or last) if found else ""
        if entry.whole and name in ("msgctxt", "msgid") and found and found[1]:
            yield entry
            entry, fuzzy = Entry(number), False
        if not entry.parts and not entry.fault:
            entry.line = number
        entry.fuzzy = entry.fuzzy or fuzzy
        if number in bad or not found or not name or (found[1] and found[1] in entry.parts):
            entry.fault = entry.fault or bad.get(number) or tr("not a line of a message catalogue")
            continue
        last = name
        entry.parts[name] = entry.parts.get(name, "") + unescaped(found[2])
    if entry.parts or entry.fault:
        if not entry.whole:
            entry.fault = entry.fault or tr("the message ends without a translation")
        yield entry


def unescaped(text: str) -> str:
    """Backslashes as C has them."""
    if "\\" not in text:
        return text

    def letter(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else LETTERS.get(code, code)

    return ESCAPE.sub(letter, text)
