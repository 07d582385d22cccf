"""Documents to answer from: files or folders of txt, md and html as passages, each with its source, its headings and its place.

Spans count characters of the document's text; of a page in HTML, those of the text that a reader sees.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.encoding import load
from luban.data.pages import READ, Page
from luban.data.passages import passages
from luban.data.readers.folder import walk
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, warn
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = ()  # only where the recipe or the task asks for passages
WRITTEN = (".txt", ".text", ".md", ".html", ".htm", ".txt.gz", ".text.gz", ".md.gz", ".html.gz", ".htm.gz")
FORMS = ("passage",)
SCHEMA = {"passage": pl.String, "document": pl.String, "heading": pl.String, "begin": pl.Int64, "end": pl.Int64}
LARGEST = 64_000_000  # bytes of one document
Row = tuple[str, str, str, int, int]


def read(path: Path, options: Reading) -> Part:
    """Columns `passage`, `document`, `heading`, `begin`, `end`. Raises DataError L202, L205 … L207, L219, L253."""
    files = list(walk(path)) if path.is_dir() else [path]
    written = [file for file in files if file.name.lower().endswith(WRITTEN)]
    if not written:
        fix = tr("put .txt, .md or .html files into it")
        raise DataError("L219", tr("the folder holds no data"), where=str(path), fix=fix)
    root = path.absolute() if path.is_dir() else path.absolute().parent
    options = replace(options, max_unpacked=min(options.max_unpacked, LARGEST))
    parts = [of_file(file, file.absolute().relative_to(root).as_posix(), options, alone=not path.is_dir()) for file in written]
    kept = {*written}
    others = [BadRow(str(file), 0, "", tr("not a text, a page or a table"), record=False) for file in files if file not in kept]
    rows = [row for found, _, _ in parts for row in found]
    if not rows:
        fix = tr("check that the files were saved and copied whole")
        raise DataError("L253", tr("no document holds any text"), where=str(path), fix=fix)
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    rejects = [reject for _, found, _ in parts for reject in found] + others
    note = tr("{folder}: {count} passages of {documents} documents", folder=path.name, count=f"{len(rows):,}", documents=len(written))
    return Part(table, Origin.join([origin for _, _, origin in parts]), rejects, files=tuple(written), notes=(note,))


def of_file(path: Path, name: str, options: Reading, *, alone: bool) -> tuple[list[Row], list[BadRow], Origin]:
    """The passages of one document; one that is empty or cannot be read is left out and named, unless it is all there is."""
    try:
        page, bad = opened(path, options)
    except DataError as error:
        if alone:
            raise
        empty = error.code == "L202"
        if empty:
            warn("W261", tr("the document is empty; nothing can be found in it"), where=name)
        return [], [BadRow(str(path), 0, "", error.what, record=not empty)], Origin.lines(path, range(0))
    rows = [(page.text[p.begin : p.end], name, p.heading or page.title, p.begin, p.end) for p in passages(page)]
    if not rows:
        warn("W261", tr("the document is empty; nothing can be found in it"), where=name)
    rejects = [BadRow(str(path), line, "passage", reason) for line, reason in sorted(bad.items())]
    breaks = np.array([place for place, character in enumerate(page.text) if character == "\n"])
    lines = np.searchsorted(breaks, [row[3] for row in rows]) + 1
    return rows, rejects, Origin.lines(path, lines.astype(np.int64))


def opened(path: Path, options: Reading) -> tuple[Page, dict[int, str]]:
    """The page, and the lines that could not be read, which are left out. Raises DataError L202, L204 … L207."""
    if path.stat().st_size > LARGEST:
        fix = tr("cut it into several files")
        raise DataError("L254", tr("the document is too large"), where=path.name, received=path.stat().st_size, allowed=[LARGEST], fix=fix)
    text = load(path, options)
    whole = text.data.decode()
    if text.bad:
        whole = "\n".join(line for number, line in enumerate(whole.split("\n"), 1) if number not in text.bad)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return READ[suffix](whole), text.bad
