"""Delimited text in blocks of whole records: each is read by the csv reader as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from luban.data.encoding import Text
from luban.data.lines import Lines, TextFile, open_text
from luban.data.readers import csv
from luban.data.source import Part

if TYPE_CHECKING:
    from luban.data.reading import Reading

SMALLEST = 1 << 21  # the first block must show header and delimiter
LONGEST_RECORD = 1 << 26  # a quote open for longer stands in an odd place
QUOTE, NEWLINE = ord('"'), ord("\n")


def blocks(path: Path, options: Reading, size: int) -> Iterator[Part]:
    """The file's records in blocks of about `size` bytes, types still to be found; None of it depends on the size. Raises as `read` does."""
    size = max(size, SMALLEST)
    file = open_text(path, options, size)
    if not file.divided:
        yield csv.read(path, options)
        return
    head = next(file.blocks(size)).text.data
    delimiter = options.delimiter or csv.sniff(head, path)
    names, _ = csv.header(head, path, delimiter, named=options.header)
    if well_quoted(file, delimiter, size):
        parts = by_span(file, names, delimiter, options, size)
    else:
        parts = by_record(file, names, delimiter, options, size)
    yield from parts


def well_quoted(file: TextFile, delimiter: str, size: int) -> bool:
    """Whether no quote stands in an odd place."""
    for block in whole_records(file.blocks(size)):
        if b'"' in block.text.data and csv.scan(block.text.data, ord(delimiter)) is None:
            return False
    return True


def whole_records(blocks: Iterator[Lines]) -> Iterator[Lines]:
    """The same lines, cut where no quote is open, unless one stays open for very long."""
    held: Lines | None = None
    for block in blocks:
        block = joined(held, block) if held else block
        end = last_even(block.text.data)
        if len(block.text.data) - end > LONGEST_RECORD:
            end = len(block.text.data)
        before, held = divided(block, end)
        if before:
            yield before
    if held:
        yield held


def joined(held: Lines, block: Lines) -> Lines:
    """Two blocks as one."""
    by = block.first - held.first
    bad = held.text.bad | {number + by: reason for number, reason in block.text.bad.items()}
    return Lines(Text(held.text.data + block.text.data, block.text.encoding, bad), held.first)


def divided(block: Lines, end: int) -> tuple[Lines | None, Lines | None]:
    """The block cut after a line end; None for nothing."""
    data, text = block.text.data, block.text
    if end in (0, len(data)):
        return (block, None) if end else (None, block)
    count = data.count(b"\n", 0, end)
    early = {number: reason for number, reason in text.bad.items() if number <= count}
    late = {number - count: reason for number, reason in text.bad.items() if number > count}
    return Lines(Text(data[:end], text.encoding, early), block.first), Lines(Text(data[end:], text.encoding, late), block.first + count)


def last_even(data: bytes) -> int:
    """Where the last line ends that closes all quotes opened before; the whole length where all are closed."""
    if data.count(b'"') % 2 == 0:
        return len(data)
    buffer = np.frombuffer(data, np.uint8)
    places = ((buffer == QUOTE) | (buffer == NEWLINE)).nonzero()[0]
    quotes = buffer[places] == QUOTE
    ends = places[~quotes & (np.cumsum(quotes) % 2 == 0)]
    return int(ends[-1]) + 1 if len(ends) else 0


def by_span(file: TextFile, names: list[str], delimiter: str, options: Reading, size: int) -> Iterator[Part]:
    """Well-quoted text."""
    for block in whole_records(file.blocks(size)):
        layout = csv.scan(block.text.data, ord(delimiter))
        if layout is not None:
            yield shifted(csv.by_span(block.text, file.path, names, delimiter, layout, options), block.first - 1)
        options = replace(options, header=False)


def by_record(file: TextFile, names: list[str], delimiter: str, options: Reading, size: int) -> Iterator[Part]:
    """Text with quotes in odd places, until more records are at fault than may be."""
    skip, rejects = int(options.header), 0
    for block in sound_records(file, delimiter, size):
        part = csv.by_record(block.text, file.path, names, delimiter, skip, replace(options, reject_limit=1.0))
        yield shifted(part, block.first - 1)
        skip, rejects = 0, rejects + len(part.rejects)
        if rejects > max(1000, options.reject_limit * file.lines):
            return


def sound_records(file: TextFile, delimiter: str, size: int) -> Iterator[Lines]:
    """Blocks that end where a record ends, or where it is known to be at fault."""
    held: Lines | None = None
    for block in file.blocks(size):
        block = joined(held, block) if held else block
        lines = [line + "\n" for line in block.text.data.decode().split("\n")[:-1]]
        done = 0
        for _, last, _, _ in csv.records(lines, delimiter, more=True):
            done = last
        before, held = divided(block, len("".join(lines[:done]).encode()))
        if before:
            yield before
    if held:
        yield held


def shifted(part: Part, by: int) -> Part:
    """The same part, its lines counted from the file's beginning."""
    rejects = [replace(row, line=row.line + by) for row in part.rejects]
    return replace(part, origin=part.origin.shifted(by), rejects=rejects)
