"""A text file in blocks of whole lines, as UTF-8: what `encoding.load` decides for the whole file is decided before the first block."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from luban.data.encoding import MARKS, MOSTLY, Text, by_line, faults, undecodable, wide_without_mark
from luban.errors import DataError, say
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

HEAD = 1 << 16


@dataclass(frozen=True)
class Lines:
    """Whole lines that follow each other, and the number of the first."""

    text: Text  # `bad` counts from the block's own first line
    first: int  # 1-based


@dataclass(frozen=True)
class TextFile:
    """How a file is written, found in one or two passes over it."""

    path: Path
    options: Reading
    codec: str
    encoding: str  # as messages name it
    lines: int = 0  # line ends, and one
    checked: bool = False  # no line is at fault
    divided: bool = True  # by \\n; else it is one line, or the lines end in \\r alone

    def blocks(self, size: int) -> Iterator[Lines]:
        """All lines, in blocks of about `size` bytes."""
        number = 1
        for raw in cut(utf8_or_raw(self, size)):
            text = self.readable(raw)
            yield Lines(clean(text), number)
            number += raw.count(b"\n")

    def readable(self, raw: bytes) -> Text:
        """The block as UTF-8, with its lines at fault."""
        if self.checked or wide(self.codec):
            return Text(raw, self.encoding)
        try:
            return Text(raw.decode(self.codec).encode(), self.encoding)
        except UnicodeDecodeError:
            lines = raw.split(b"\n")
            return replace(by_line(lines, self.codec, faults(lines, self.codec)), encoding=self.encoding)


@dataclass
class Look:
    """What one pass over a file found."""

    total: int = 0
    ends: int = 0
    nul: int = 0
    nul_lines: int = 0
    first_nul: int = -1
    blank: bool = True
    fault: int = -1  # offset of the first byte that is not UTF-8
    near: bytes = field(default=b"")

    def see(self, raw: bytes, codec: str) -> None:
        """Take in a block."""
        self.blank = self.blank and not raw.strip(b"\r\n\t \0")
        if b"\0" in raw:
            self.first_nul = self.total + raw.index(b"\0") if self.first_nul < 0 else self.first_nul
            self.nul += raw.count(b"\0")
            self.nul_lines += sum(b"\0" in line for line in raw.split(b"\n"))
        if codec == "utf-8" and self.fault < 0:
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                self.fault, self.near = self.total + error.start, raw[error.start : error.start + 8]
        self.ends += raw.count(b"\n")
        self.total += len(raw)


def open_text(path: Path, options: Reading, size: int) -> TextFile:
    """The file's encoding and whether it can be cut into lines. Raises DataError L202, L204 - L207."""
    file = first_guess(path, options)
    look = Look()
    for raw in cut(utf8_or_raw(file, size)):
        look.see(raw, file.codec)
    if look.blank:
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    if look.nul_lines > max(1, 0.5 * (look.ends + 1)) or look.nul > 0.3 * look.total:
        what = tr("this is not text: NUL byte at offset {offset}", offset=look.first_nul)
        raise DataError("L204", what, where=path.name, fix=tr("check the file and its suffix"))
    file = replace(file, lines=look.ends + 1, divided=look.ends > 0)
    if file.codec != "utf-8" or options.encoding:
        return file
    return replace(file, checked=True) if look.fault < 0 else closer(file, look, size)


def first_guess(path: Path, options: Reading) -> TextFile:
    """By the recipe, the byte order mark, or zeros in every other byte; else UTF-8."""
    with closing(pieces(path, options, HEAD)) as opened:
        head = next(opened, b"")
    if options.encoding:
        return TextFile(path, options, known_codec(options.encoding, path), options.encoding)
    marked = next((name for mark, name in MARKS if head.startswith(mark)), None)
    if marked and marked != "utf-8-sig":
        return TextFile(path, options, marked, marked)
    if not marked and (found := wide_without_mark(head)) and sum(map(len, pieces(path, options, 1 << 20))) % 2 == 0:
        say(tr("{file}: read as {encoding} (no byte order mark)", file=path.name, encoding=found.upper()))
        return TextFile(path, options, found, found)
    return TextFile(path, options, "utf-8", "utf-8")


def known_codec(encoding: str, path: Path) -> str:
    """Python's name of it. Raises DataError L207."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        allowed, fix = ("utf-8", "gb18030", "utf-16", "big5", "latin-1"), tr("leave it out to let it be found")
        raise DataError("L207", tr("unknown encoding"), where=path.name, received=encoding, allowed=allowed, fix=fix) from error


def closer(file: TextFile, look: Look, size: int) -> TextFile:
    """UTF-8 with a few lines at fault, or GB18030 with a notice. Raises DataError L206."""
    beyond = wrong = chinese = 0
    for raw in cut(utf8_or_raw(file, size)):
        lines = raw.split(b"\n")
        beyond += sum(not line.isascii() for line in lines)
        wrong += len(faults(lines, "utf-8"))
        chinese += len(faults(lines, "gb18030"))
    if is_marked(file) or wrong <= MOSTLY * beyond:
        return file
    if chinese <= MOSTLY * beyond:
        say(tr("{file}: not UTF-8, read as GB18030; set encoding if that is wrong", file=file.path.name))
        return replace(file, codec="gb18030", encoding="gb18030")
    if wrong <= max(1, file.options.reject_limit * file.lines):
        return file
    raise undecodable(file.path, "UTF-8, GB18030", look.fault, b"\0" * look.fault + look.near if look.fault < HEAD else look.near)


def is_marked(file: TextFile) -> bool:
    """Whether the file begins with UTF-8's byte order mark."""
    with closing(pieces(file.path, file.options, HEAD)) as opened:
        return next(opened, b"").startswith(codecs.BOM_UTF8)


def wide(codec: str) -> bool:
    """Whether a line end is more than one byte."""
    return codec.startswith(("utf-16", "utf-32"))


def utf8_or_raw(file: TextFile, size: int) -> Iterator[bytes]:
    """The bytes as they stand, less a mark of UTF-8; of wide encodings as UTF-8."""
    opened = pieces(file.path, file.options, size)
    if not wide(file.codec):
        for place, piece in enumerate(opened):
            marked = place == 0 and not file.options.encoding and piece.startswith(codecs.BOM_UTF8)
            yield piece[len(codecs.BOM_UTF8) :] if marked else piece
        return
    decoder, done = codecs.getincrementaldecoder(file.codec)(), 0
    for piece in (*opened, b""):
        try:
            yield decoder.decode(piece, final=not piece).encode()
        except UnicodeDecodeError as error:
            raise undecodable(file.path, file.encoding, done + error.start, piece) from error
        done += len(piece)


def pieces(path: Path, options: Reading, size: int) -> Generator[bytes]:
    """The file's bytes, unpacked when its name ends in `.gz`. Raises DataError L204, L205."""
    packed = path.name.lower().endswith(".gz")
    total = 0
    try:
        with cast("BinaryIO", gzip.open(path)) if packed else path.open("rb") as file:
            while piece := file.read(size):
                total += len(piece)
                if packed and total > options.max_unpacked:
                    fix = tr("raise max_unpacked if you trust the file, or unpack it yourself")
                    raise DataError("L205", tr("unpacks to more than {limit} bytes", limit=options.max_unpacked), where=path.name, fix=fix)
                yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        what = tr("the file is damaged: {why}", why=str(error)[:80])
        raise DataError("L204", what, where=path.name, fix=tr("copy or download it again")) from error


def cut(opened: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after line ends."""
    held: list[bytes] = []
    for piece in opened:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*held, piece[:end]])
            held = []
        if end < len(piece):
            held.append(piece[end:])
    if held:
        yield b"".join(held)


def clean(text: Text) -> Text:
    """Line ends as `\\n`; NUL bytes blanked, their lines at fault."""
    data = text.data.replace(b"\r\n", b"\n") if b"\r" in text.data else text.data
    if b"\0" not in data:
        return replace(text, data=data)
    found = {
        number: tr("NUL byte at place {place} of the line", place=line.index(b"\0"))
        for number, line in enumerate(data.split(b"\n"), start=1)
        if b"\0" in line
    }
    return Text(data.replace(b"\0", b" "), text.encoding, found | text.bad)
