"""csv, tsv and other delimited text, plain or gzipped; every record that does not fit the header is named by its line.

The structure (where records end, how many fields each has) is found by a vectorised scan of the bytes, Polars then parses the good records.
Text with quotes in odd places is read record by record instead, strictly by RFC 4180.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from luban.data.encoding import Text, load
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, shorten, warn
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".csv.gz", ".tsv.gz", ".txt.gz", ".tab.gz")
DELIMITERS = (",", ";", "\t", "|")
NONE = "\x1f"  # one column: nothing divides it
CHUNK = 1 << 24
HEAD = 1 << 16
LONGEST_FIELD = 1 << 22  # bounds what one unclosed quote can swallow
QUOTE, NEWLINE = ord('"'), ord("\n")


def read(path: Path, options: Reading) -> Part:
    """Records as text columns. Raises DataError L202, L204 - L209, L214."""
    text = load(path, options)
    delimiter = options.delimiter or sniff(text.data, path)
    names, records = header(text.data, path, delimiter, named=options.header)
    layout = scan(text.data, ord(delimiter))
    if layout is None:
        return by_record(text, path, names, delimiter, records, options)
    return by_span(text, path, names, delimiter, layout, options)


def sniff(data: bytes, path: Path) -> str:
    """The delimiter that cuts most of the first records into as many fields as the first one."""
    head = data[:HEAD] if len(data) <= HEAD else data[: data.rfind(b"\n", 0, HEAD) + 1] or data[:HEAD]
    lines = head.decode("utf-8", "ignore").split("\n")
    order = ("\t", *DELIMITERS) if ".ts" in path.name.lower() or ".tab" in path.name.lower() else DELIMITERS
    best, most = NONE, (0.0, 0)
    for delimiter in dict.fromkeys(order):
        try:
            counts = [len(record) for record in csv.reader((line + "\n" for line in lines), delimiter=delimiter) if record]
        except csv.Error:
            continue
        width = counts[0] if counts else 1
        score = (round(Counter(counts)[width] / len(counts), 2), width) if width > 1 else (0.0, 0)
        if score > most:
            best, most = delimiter, score
    return best


def header(data: bytes, path: Path, delimiter: str, *, named: bool) -> tuple[list[str], int]:
    """Column names, and how many records to skip. Raises DataError L208, L209."""
    lines = io.StringIO(data[: 1 << 20].decode("utf-8", "ignore"), newline="\n")
    try:
        first = next((record for record in csv.reader(lines, delimiter=delimiter) if record), [])
    except csv.Error as error:
        raise DataError(
            "L208",
            tr("the first line is not a header: {why}", why=str(error)),
            where=path.name,
            fix=tr("check the quotes of the first line"),
        ) from error
    if not named:
        return [f"column_{i}" for i in range(1, len(first) + 1)], 0
    names = [name.strip() for name in first]
    check_names(names, path)
    if len(names) > 1 and all(is_number(name) for name in names):
        warn(
            "W201",
            tr("the first line looks like data, not like names"),
            where=path.name,
            fix=tr("set header = false under [reading] if it is"),
        )
    return names, 1


def check_names(names: list[str], path: Path) -> None:
    """Every column needs a name of its own. Raises DataError L208, L209."""
    if missing := [str(place) for place, name in enumerate(names, start=1) if not name]:
        raise DataError(
            "L208",
            tr("column {place} has no name", place=", ".join(missing[:8])),
            where=path.name,
            fix=tr("give every column a name in the first line"),
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            "L209",
            tr("two columns are named {name}", name=", ".join(map(repr, twice[:8]))),
            where=path.name,
            fix=tr("rename or remove one of them"),
        )


def is_number(text: str) -> bool:
    """Whether a name reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Layout:
    """Where records stand: R of them, in the order of the file."""

    starts: np.ndarray  # (R,) int64 byte of the first character
    ends: np.ndarray  # (R,) int64 byte after the last, the newline left out
    lines: np.ndarray  # (R,) int64, 1-based
    last_lines: np.ndarray  # (R,) int64, of the last line of the record
    fields: np.ndarray  # (R,) int64


def scan(data: bytes, delimiter: int) -> Layout | None:
    """The layout of well-quoted text, or None where a quote stands in an odd place."""
    buffer = np.frombuffer(data, np.uint8)
    ends, lines, fields = [], [], []
    parity, newlines, delimiters, quoted = 0, 1, 0, b'"' in data
    for begin in range(0, len(buffer), CHUNK):
        chunk = buffer[begin : begin + CHUNK]
        marks = chunk == NEWLINE
        marks |= chunk == delimiter
        if quoted:
            marks |= chunk == QUOTE
        places = marks.nonzero()[0]
        what = chunk[places]
        inside = np.zeros(len(places), bool)
        if quoted:
            quotes = what == QUOTE
            count = np.cumsum(quotes) + parity
            inside = (count & 1).astype(bool)
            if not quotes_fit(buffer, places[quotes] + begin, inside[quotes], delimiter):
                return None
            parity = int(count[-1] & 1) if len(count) else parity
        newline = what == NEWLINE
        end = newline & ~inside
        cuts = np.cumsum((what == delimiter) & ~inside) + delimiters
        count = np.cumsum(newline) + newlines
        ends.append(places[end] + begin)
        fields.append(cuts[end])
        lines.append(count[end])
        if len(places):
            delimiters, newlines = int(cuts[-1]), int(count[-1])
    if parity:
        return None
    return assemble(np.concatenate(ends), np.concatenate(fields), np.concatenate(lines), (len(data), delimiters, newlines))


def quotes_fit(buffer: np.ndarray, places: np.ndarray, opening: np.ndarray, delimiter: int) -> bool:
    """Opening quotes begin a field or double a quote, closing ones end a field or are doubled."""
    before = np.where(places > 0, buffer[places - 1], NEWLINE)[opening]
    closing = places[~opening]
    after = np.where(closing + 1 < len(buffer), buffer[np.minimum(closing + 1, len(buffer) - 1)], NEWLINE)
    return all(bool(((side == delimiter) | (side == NEWLINE) | (side == QUOTE)).all()) for side in (before, after))


def assemble(ends: np.ndarray, cuts: np.ndarray, lines: np.ndarray, total: tuple[int, int, int]) -> Layout:
    """Record ends, running counts of delimiters and of newlines -> the layout; the last record may lack its newline."""
    size, delimiters, newlines = total
    if not len(ends) or int(ends[-1]) < size - 1:
        ends, cuts, lines = np.append(ends, size), np.append(cuts, delimiters), np.append(lines, newlines + 1)
    starts = np.concatenate([[0], ends[:-1] + 1])
    first = np.concatenate([[1], lines[:-1]])
    return Layout(starts, ends, first, lines - 1, np.diff(cuts, prepend=0) + 1)


def by_span(text: Text, path: Path, names: list[str], delimiter: str, layout: Layout, options: Reading) -> Part:
    """Good records go to Polars as they stand; the others are named."""
    blank = layout.ends == layout.starts
    good = ~blank
    skipped = int(np.argmax(good)) if options.header else -1
    good[: skipped + 1] = False
    wrong = good & (layout.fields != len(names))
    if text.bad:
        numbers = np.array(sorted(text.bad))
        wrong |= good & (np.searchsorted(numbers, layout.lines) < np.searchsorted(numbers, layout.last_lines, side="right"))
    rejects = [reject(text, path, names, layout, int(i)) for i in wrong.nonzero()[0]]
    good &= ~wrong
    body = text.data[int(layout.starts[good.argmax()]) :] if good.any() and good[good.argmax() :].all() else pick(text.data, layout, good)
    table = parse(body, names, delimiter) if good.any() else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    if table.height != int(good.sum()):
        return by_record(text, path, names, delimiter, int(options.header), options)
    return Part(table, Origin.lines(path, layout.lines[good]), rejects, written=True, notes=note(path, names, delimiter, text))


def pick(data: bytes, layout: Layout, good: np.ndarray) -> bytes:
    """The good records, one after the other."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return b"\n".join(data[int(layout.starts[a]) : int(layout.ends[b - 1])] for a, b in zip(edges[::2], edges[1::2], strict=True)) + b"\n"


def parse(body: bytes, names: list[str], delimiter: str) -> pl.DataFrame:
    """Every column as text; empty is missing."""
    return pl.read_csv(body, has_header=False, new_columns=names, separator=delimiter, infer_schema=False, extra_columns="raise")


def reject(text: Text, path: Path, names: list[str], layout: Layout, record: int) -> BadRow:
    """Why a record is left out."""
    first, last = int(layout.lines[record]), int(layout.last_lines[record])
    received = text.data[int(layout.starts[record]) : int(layout.ends[record])].decode("utf-8", "replace")
    bad = next((number for number in range(first, last + 1) if number in text.bad), None)
    if bad is not None:
        return BadRow(str(path), bad, "", text.bad[bad], shorten(received))
    column, reason = misfit(names, int(layout.fields[record]))
    return BadRow(str(path), first, column, reason, shorten(received))


def misfit(names: list[str], fields: int) -> tuple[str, str]:
    """The first column without a field, or the last one with more after it, and the reason."""
    reason = tr("{got} fields, the header has {wanted}", got=fields, wanted=len(names))
    return (names[fields] if fields < len(names) else names[-1]), reason


def by_record(text: Text, path: Path, names: list[str], delimiter: str, skip: int, options: Reading) -> Part:
    """The exact way: strict parsing record by record; after a fault reading goes on at the next line."""
    lines = [line + "\n" for line in text.data.decode().split("\n")]
    if lines[-1] == "\n":
        lines.pop()
    rows: list[list[str]] = []
    at: list[int] = []
    rejects: list[BadRow] = []
    for line, last, record, fault in records(lines, delimiter):
        if not record and not fault:
            continue
        if skip:
            skip -= 1
            continue
        bad = next((number for number in range(line, last + 1) if number in text.bad), None) if text.bad else None
        if fault or bad is not None:
            rejects.append(BadRow(str(path), bad or line, "", fault or text.bad[bad or 0], shorten(lines[line - 1].rstrip("\n"))))
            if len(rejects) > max(1000, options.reject_limit * len(lines)):
                break
        elif len(record) != len(names):
            rejects.append(BadRow(str(path), line, *misfit(names, len(record)), shorten(delimiter.join(record))))
        else:
            rows.append(record)
            at.append(line)
    columns = [
        pl.Series(name, cells, dtype=pl.String)
        for name, cells in zip(names, zip(*rows, strict=True) if rows else [[]] * len(names), strict=True)
    ]
    return Part(
        pl.DataFrame(columns), Origin.lines(path, np.array(at, np.int64)), rejects, written=True, notes=note(path, names, delimiter, text)
    )


def records(lines: list[str], delimiter: str, *, more: bool = False) -> Iterator[tuple[int, int, list[str], str]]:
    """First line, last line, fields, fault of each record; a faulty one is its first line only, so that one quote can't swallow a file.

    With `more` to come, a record that the lines end in is not judged.
    """
    start, limit = 0, csv.field_size_limit(LONGEST_FIELD)
    try:
        while start < len(lines):
            reader = csv.reader((lines[i] for i in range(start, len(lines))), delimiter=delimiter, strict=True)
            begin = seen = 0
            try:
                for record in reader:
                    yield start + begin + 1, start + reader.line_num, record, ""
                    begin = seen = reader.line_num
                start = len(lines)
            except csv.Error as error:
                if more and "unexpected end" in str(error):
                    return
                yield start + seen + 1, start + seen + 1, [], quote_fault(error)
                start += seen + 1
    finally:
        csv.field_size_limit(limit)


def quote_fault(error: csv.Error) -> str:
    """The parser's complaint in our words."""
    if "unexpected end" in str(error) or "field limit" in str(error):
        return tr("a quote is opened and never closed")
    return tr("a quoted field goes on after its quote: a quote is not doubled, or never closed")


def note(path: Path, names: list[str], delimiter: str, text: Text) -> tuple[str, ...]:
    """What was found."""
    shown = {"\t": "tab", NONE: tr("none")}.get(delimiter, delimiter)
    return (
        tr(
            "{file}: {columns} columns, delimiter {delimiter}, {encoding}",
            file=path.name,
            columns=len(names),
            delimiter=shown,
            encoding=text.encoding.upper(),
        ),
    )
