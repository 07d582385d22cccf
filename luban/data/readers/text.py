"""Plain text to read as it stands: one file is one document, or each paragraph or line is; folders too.

A long document is cut into pieces of about a thousandth, at ends of lines where they are near, so that its end can be held out; put one after the
other the pieces are the document again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.encoding import load
from luban.data.readers.folder import levels_of, splits_on_top, walk
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = ()  # of its own it reads nothing
WRITTEN = (".txt", ".md", ".text", ".txt.gz", ".md.gz", ".text.gz")  # what it reads where the recipe asks for text
FORMS = ("file", "paragraph", "line")
PIECES, SHORTEST, LONGEST = 1000, 64, 4096  # of a document; characters of a piece
PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def read(path: Path, options: Reading) -> Part:
    """Column `text`, and `document` where a document has several rows. Raises DataError L202, L204 - L207, L219."""
    if not path.is_dir():
        return of_file(path, options, path.name)
    files = list(walk(path))
    texts = [file for file in files if file.name.lower().endswith(WRITTEN) and file.stat().st_size]
    if not texts:
        fix = tr("put .txt or .md files into it")
        raise DataError("L219", tr("the folder holds no data"), where=str(path), fix=fix)
    divided = splits_on_top(path, texts)
    parts = [of_file(file, options, file.relative_to(path.absolute()).as_posix()) for file in texts]
    splits = np.concatenate([np.full(part.table.height, levels_of(file, path, divided)[0], np.int8) for file, part in zip(texts, parts)])
    others = [BadRow(str(file), 0, "", tr("not an image, a sound or a table"), record=False) for file in files if file not in set(texts)]
    rejects = [reject for part in parts for reject in part.rejects] + others
    note = tr("{folder}: {count} texts", folder=path.name, count=len(texts))
    table, origin = pl.concat([part.table for part in parts]), Origin.join([part.origin for part in parts])
    return Part(table, origin, rejects, splits if divided else None, files=tuple(texts), notes=(note,))


def of_file(path: Path, options: Reading, name: str) -> Part:
    """One file; lines that cannot be read are left out and named."""
    text = load(path, options)
    rejects = [BadRow(str(path), line, "text", reason) for line, reason in sorted(text.bad.items())]
    whole = text.data.decode()
    if text.bad:
        whole = "\n".join(line for number, line in enumerate(whole.split("\n"), 1) if number not in text.bad)
    form = options.text or "file"
    spans = list(pieces(whole) if form == "file" else paragraphs(whole) if form == "paragraph" else lines(whole))
    if not spans:
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    table = pl.DataFrame({"text": [whole[a:b] for a, b in spans]}, schema={"text": pl.String})
    if form == "file":
        table = table.with_columns(document=pl.lit(name))
    breaks = np.array([0, *(place.end() for place in re.finditer("\n", whole))])
    at = np.searchsorted(breaks, [a for a, _ in spans], side="right")
    note = tr("{file}: {count} characters, {encoding}", file=path.name, count=f"{len(whole):,}", encoding=text.encoding.upper())
    return Part(table, Origin.lines(path, at.astype(np.int64)), rejects, notes=(note,))


def pieces(whole: str) -> Iterator[tuple[int, int]]:
    """Spans of the whole, without a gap."""
    size = max(SHORTEST, min(LONGEST, len(whole) // PIECES))
    begin = 0
    while begin < len(whole):
        end = cut(whole, begin + size, begin + size // 2) if len(whole) - begin > size else len(whole)
        yield begin, end
        begin = end


def cut(whole: str, last: int, first: int) -> int:
    """Where to cut: after an end of line, else after a sentence, else before a space."""
    for mark, offset in (("\n", 1), ("。", 1), (" ", 0)):
        if (place := whole.rfind(mark, first, last)) >= 0:
            return place + offset
    return last


def paragraphs(whole: str) -> Iterator[tuple[int, int]]:
    """Spans between blank lines."""
    begin = 0
    for gap in [*PARAGRAPHS.finditer(whole), None]:
        end = len(whole) if gap is None else gap.start()
        if whole[begin:end].strip():
            yield begin, end
        begin = end if gap is None else gap.end()


def lines(whole: str) -> Iterator[tuple[int, int]]:
    """Spans of the lines that hold anything."""
    for line in re.finditer(r"[^\n]+", whole):
        if line[0].strip():
            yield line.span()
