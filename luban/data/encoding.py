"""Bytes of a text file -> UTF-8, with the lines that could not be read.

Order: byte order mark (UTF-8, UTF-16, UTF-32), UTF-8, then GB18030 with a notice; anything else is an error naming the byte.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from luban.errors import DataError, say
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HALF = re.compile("[\ud800-\udfff]")  # a surrogate without the other one
MOSTLY = 0.05  # of the lines beyond ASCII, the share that may be damaged before another encoding is tried


@dataclass(frozen=True)
class Text:
    """A file as UTF-8 with `\\n` line ends; `bad` says which 1-based lines could not be read, and why."""

    data: bytes
    encoding: str
    bad: dict[int, str] = field(default_factory=dict)


def load(path: Path, options: Reading) -> Text:
    """The text of a file, unpacked when its name ends in `.gz`. Raises DataError L202, L204, L205, L206, L207."""
    raw = unpack(path, options) if path.name.lower().endswith(".gz") else path.read_bytes()
    if not raw.strip(b"\r\n\t \0"):
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    text = decode(raw, path, options)
    data = text.data
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n") if b"\n" in data else data.replace(b"\r", b"\n")
    return without_nul(Text(data, text.encoding, text.bad), path, options)


def unpack(path: Path, options: Reading) -> bytes:
    """The content of a gzip file, refused beyond `max_unpacked` bytes."""
    try:
        with gzip.open(path) as file:
            raw = file.read(options.max_unpacked + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            "L204", tr("the file is damaged: {why}", why=str(error)[:80]), where=path.name, fix=tr("copy or download it again")
        ) from error
    if len(raw) > options.max_unpacked:
        raise DataError(
            "L205",
            tr("unpacks to more than {limit} bytes", limit=options.max_unpacked),
            where=path.name,
            fix=tr("raise max_unpacked if you trust the file, or unpack it yourself"),
        )
    return raw


def decode(raw: bytes, path: Path, options: Reading) -> Text:
    """UTF-8 bytes whatever the file was written in."""
    if options.encoding:
        return as_asked(raw, path, options.encoding)
    if marked := next((name for mark, name in MARKS if raw.startswith(mark)), None):
        if marked == "utf-8-sig":
            return guess(raw[len(codecs.BOM_UTF8) :], path, options, marked=True)
        return as_asked(raw, path, marked)
    if wide := wide_without_mark(raw):
        say(tr("{file}: read as {encoding} (no byte order mark)", file=path.name, encoding=wide.upper()))
        return as_asked(raw, path, wide)
    return guess(raw, path, options, marked=False)


def as_asked(raw: bytes, path: Path, encoding: str) -> Text:
    """Strictly in one encoding, named by the recipe or the file's mark; lines at fault are listed where lines can be told."""
    try:
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise DataError(
            "L207",
            tr("unknown encoding"),
            where=path.name,
            received=encoding,
            allowed=("utf-8", "gb18030", "utf-16", "big5", "latin-1"),
            fix=tr("leave it out to let it be found"),
        ) from error
    try:
        return Text(raw.decode(codec).encode(), encoding)
    except UnicodeDecodeError as error:
        if codec.startswith(("utf-16", "utf-32")):
            return half_characters(raw, path, encoding, error)
        lines = raw.split(b"\n")
        return by_line(lines, codec, faults(lines, codec))


def half_characters(raw: bytes, path: Path, encoding: str, error: UnicodeDecodeError) -> Text:
    """UTF-16 in which some lines hold half a character: those are listed; lost bytes are an error. Raises DataError L206."""
    try:
        lines = raw.decode(encoding, "surrogatepass").split("\n")
    except UnicodeDecodeError as lost:
        raise undecodable(path, encoding, error.start, error.object) from lost
    bad = {}
    for number, line in enumerate(lines, start=1):
        if half := HALF.search(line):
            bad[number] = tr("half a character at place {place} of the line: not {encoding}", place=half.start(), encoding=encoding.upper())
    return Text(HALF.sub("?", "\n".join(lines)).encode(), encoding, bad)


def guess(raw: bytes, path: Path, options: Reading, *, marked: bool) -> Text:
    """UTF-8, or GB18030 with a notice; the few lines at fault are listed."""
    try:
        raw.decode()
        return Text(raw, "utf-8")
    except UnicodeDecodeError as error:
        start = error.start
    lines = raw.split(b"\n")
    beyond = sum(not line.isascii() for line in lines)
    wrong = faults(lines, "utf-8")
    if marked or len(wrong) <= MOSTLY * beyond:
        return by_line(lines, "utf-8", wrong)
    chinese = faults(lines, "gb18030")
    if len(chinese) <= MOSTLY * beyond:
        say(tr("{file}: not UTF-8, read as GB18030; set encoding if that is wrong", file=path.name))
        return by_line(lines, "gb18030", chinese)
    if len(wrong) <= max(1, options.reject_limit * len(lines)):
        return by_line(lines, "utf-8", wrong)
    raise undecodable(path, "UTF-8, GB18030", start, raw)


def faults(lines: list[bytes], encoding: str) -> dict[int, str]:
    """1-based line -> why it cannot be read in this encoding."""
    found = {}
    for number, line in enumerate(lines, start=1):
        if line.isascii():
            continue
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            found[number] = tr(
                "byte {value} at place {place} of the line is not {encoding}",
                value=f"0x{line[error.start]:02X}",
                place=error.start,
                encoding=encoding.upper(),
            )
    return found


def by_line(lines: list[bytes], encoding: str, bad: dict[int, str]) -> Text:
    """UTF-8 of all lines; those at fault keep what is readable so that quotes and delimiters still count."""
    if encoding == "utf-8" and not bad:
        return Text(b"\n".join(lines), encoding)
    joined = b"\n".join(
        line.decode(encoding, "replace").encode() if number in bad else line.decode(encoding).encode()
        for number, line in enumerate(lines, start=1)
    )
    return Text(joined, encoding, bad)


def wide_without_mark(raw: bytes) -> str | None:
    """UTF-16 without its mark shows as a zero in every other byte of its ASCII (delimiters, line ends, digits)."""
    head = raw[: 1 << 16]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) / 64 or len(raw) % 2 or min(even, odd) > max(even, odd) / 16:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def without_nul(text: Text, path: Path, options: Reading) -> Text:
    """Lines that hold a NUL byte are at fault; a file full of them is no text."""
    if b"\0" not in text.data:
        return text
    lines = text.data.split(b"\n")
    found = {
        number: tr("NUL byte at place {place} of the line", place=line.index(b"\0"))
        for number, line in enumerate(lines, start=1)
        if b"\0" in line
    }
    if len(found) > max(1, 0.5 * len(lines)) or text.data.count(0) > 0.3 * len(text.data):
        raise DataError(
            "L204",
            tr("this is not text: NUL byte at offset {offset}", offset=text.data.index(b"\0")),
            where=path.name,
            fix=tr("check the file and its suffix"),
        )
    return Text(text.data.replace(b"\0", b" "), text.encoding, found | text.bad)


def undecodable(path: Path, tried: str, offset: int, raw: bytes) -> DataError:
    """The error for a file in an unknown encoding."""
    return DataError(
        "L206",
        tr("the encoding was not recognised; tried {tried}; first fault at byte {offset}", tried=tried, offset=offset),
        where=path.name,
        received=raw[offset : offset + 8],
        fix=tr('name it in the recipe: [reading] encoding = "latin-1", "big5", …'),
    )
