"""TMX: translation memories; a row for each unit, a column for each language.

The file may be hostile: entities of its own are refused, no other file is ever opened, and what it may unpack to and how deep it nests is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import numpy as np
import polars as pl

from luban.data.encoding import unpack
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".tmx", ".tmx.gz")
CODES = frozenset(("bpt", "ept", "ph", "it", "ut", "sub"))  # marks of layout inside a segment, no words of it
DEEPEST = 100
PIECE = 1 << 20


class Units:
    """What the parser has met."""

    def __init__(self, path: Path, parser: Any) -> None:
        self.path, self.parser = path, parser
        self.rows: list[dict[str, str]] = []
        self.lines: list[int] = []
        self.rejects: list[BadRow] = []
        self.source = ""  # the language translated from, where the header says so
        self.open: list[str] = []  # elements around this place
        self.unit: dict[str, str] = {}
        self.line, self.language, self.twice, self.hidden = 0, "", "", 0
        self.text: list[str] | None = None

    def start(self, name: str, found: dict[str, str]) -> None:
        """An element begins. Raises DataError L298 where they nest too deep."""
        self.open.append(name)
        if len(self.open) > DEEPEST:
            raise refused(self.path, self.parser, tr("elements nested deeper than {limit}", limit=DEEPEST))
        if name == "header":
            self.source = tag(found.get("srclang", ""))
        elif name == "tu":
            self.unit, self.line, self.twice = {}, self.parser.CurrentLineNumber, ""
        elif name == "tuv":
            self.language = tag(found.get("xml:lang") or found.get("lang") or "")
        elif name == "seg":
            self.text = []
        elif self.text is not None and name in CODES:
            self.hidden += 1

    def data(self, text: str) -> None:
        """Words of a segment."""
        if self.text is not None and not self.hidden:
            self.text.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        self.open.pop()
        if self.text is not None and name in CODES:
            self.hidden -= 1
        elif name == "seg" and self.text is not None:
            words = " ".join("".join(self.text).split())
            self.twice = self.twice or (self.language if self.language in self.unit else "")
            self.unit.setdefault(self.language, words)
            self.text = None
        elif name == "tu":
            self.keep()

    def keep(self) -> None:
        """A unit is whole: a row, or why it is none."""
        reason = ""
        if "" in self.unit:
            reason = tr("a segment without a language")
        elif self.twice:
            reason = tr("the language {name} stands twice", name=self.twice)
        elif len(self.unit) < 2:
            reason = tr("a unit in one language only")
        if reason:
            self.rejects.append(BadRow(str(self.path), self.line, "", reason, " | ".join(self.unit.values())[:80]))
        else:
            self.rows.append(self.unit)
            self.lines.append(self.line)


def tag(name: str) -> str:
    """`en_US` and `EN-us` are `en-us`."""
    return name.strip().replace("_", "-").lower()


def refused(path: Path, parser: Any, why: str) -> DataError:
    """The error for what a translation memory has no need of."""
    fix = tr("export it again from the tool it comes from")
    return DataError(
        "L298",
        tr("not a translation memory that is safe to read: {why}", why=why),
        where=f"{path.name}:{parser.CurrentLineNumber}",
        fix=fix,
    )


def read(path: Path, options: Reading) -> Part:
    """One row a unit. Raises DataError L202, L204, L205, L298."""
    raw = unpack(path, options) if path.name.lower().endswith(".gz") else path.read_bytes()
    if not raw.strip(b"\r\n\t \0"):
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    units = parse(path, raw, options)
    found = list(dict.fromkeys(name for row in units.rows for name in row))
    names = sorted(found, key=lambda name: name != units.source)  # stable: the source first, the others as they came
    table = pl.DataFrame({name: pl.Series(name, [row.get(name) for row in units.rows], dtype=pl.String) for name in names})
    note = tr("{file}: {count} units in {columns}", file=path.name, count=f"{len(units.rows):,}", columns=", ".join(names))
    return Part(table, Origin.lines(path, np.array(units.lines, np.int64)), units.rejects, notes=(note,))


def parse(path: Path, raw: bytes, options: Reading) -> Units:
    """All units. Raises DataError L204 for XML that breaks, L298 for entities."""
    try:
        parser = expat.ParserCreate(options.encoding)
    except (ValueError, LookupError) as error:
        raise DataError(
            "L207", tr("unknown encoding"), where=path.name, received=options.encoding, fix=tr("leave it out to let it be found")
        ) from error
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    units = Units(path, parser)
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = units.start, units.end, units.data
    parser.EntityDeclHandler = forbidden(path, parser, tr("it declares entities"))
    parser.ExternalEntityRefHandler = forbidden(path, parser, tr("it names another file"))
    parser.SkippedEntityHandler = forbidden(path, parser, tr("it uses an entity that is not declared"))
    try:
        for start in range(0, len(raw), PIECE):
            parser.Parse(raw[start : start + PIECE], False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError) as error:
        where = f"{path.name}:{getattr(error, 'lineno', parser.CurrentLineNumber)}"
        what = tr("the file is damaged: {why}", why=str(error)[:80])
        raise DataError("L204", what, where=where, fix=tr("copy or download it again")) from error
    return units


def forbidden(path: Path, parser: Any, why: str) -> Callable[..., int]:
    """A handler that refuses."""

    def handle(*_: Any) -> int:
        raise refused(path, parser, why)

    return handle
