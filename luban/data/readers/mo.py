"""MO: message catalogues as programs load them; columns as of PO. Every offset is checked against the file before it is followed."""

from __future__ import annotations

import codecs
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from luban.data.readers.po import CHARSET, Catalogue
from luban.data.source import BadRow, Part
from luban.errors import DataError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".mo",)
MAGIC = 0x950412DE
HEAD = 20  # bytes before the tables: magic, revision, count, where the sources and where the targets are listed
CONTEXT, PLURAL = b"\x04", b"\0"


def read(path: Path, options: Reading) -> Part:
    """One row a message; its line is its number. Raises DataError L202, L204, L207."""
    raw = path.read_bytes()
    if not raw:
        raise DataError("L202", tr("the file is empty"), where=path.name, fix=tr("check that it was saved and copied whole"))
    pairs = messages(path, raw)
    encoding = options.encoding or charset(pairs)
    found, rejects = Catalogue(), []
    for number, (source, target) in enumerate(pairs, start=1):
        if not source:
            continue
        context, mark, rest = source.partition(CONTEXT)
        try:
            texts = [part.decode(encoding) for part in (rest if mark else source).split(PLURAL)]
            forms = [part.decode(encoding) for part in target.split(PLURAL)]
            where = context.decode(encoding) if mark else None
        except UnicodeDecodeError as error:
            reason = tr("byte {value} is not {encoding}", value=f"0x{error.object[error.start]:02X}", encoding=encoding.upper())
            rejects.append(BadRow(str(path), number, "", reason, source[:80].decode(encoding, "replace")))
            continue
        found.add(number, [(texts[0], forms[0]), *([(texts[1], forms[-1])] if len(texts) > 1 and len(forms) > 1 else [])], where)
    return found.part(path, rejects)


def messages(path: Path, raw: bytes) -> list[tuple[bytes, bytes]]:
    """Sources and targets. Raises DataError L204 for any table or text that is not inside the file."""
    order = next((mark for mark in "<>" if len(raw) >= HEAD and struct.unpack(f"{mark}I", raw[:4])[0] == MAGIC), "")
    if not order:
        raise damaged(path, tr("it does not begin as a MO file does"))
    revision, count, sources, targets = struct.unpack(f"{order}4I", raw[4:HEAD])
    if revision >> 16 > 1 or max(sources, targets) + 8 * count > len(raw):
        raise damaged(path, tr("its tables lie outside the file"))

    def text(table: int, number: int) -> bytes:
        length, start = struct.unpack_from(f"{order}2I", raw, table + 8 * number)
        if start + length > len(raw):
            raise damaged(path, tr("message {n} lies outside the file", n=number + 1))
        return raw[start : start + length]

    return [(text(sources, n), text(targets, n)) for n in range(count)]


def charset(pairs: list[tuple[bytes, bytes]]) -> str:
    """The encoding that the header names, UTF-8 where it names none."""
    header = next((target for source, target in pairs if not source), b"")
    found = CHARSET.search(header)
    try:
        return codecs.lookup(found[1].decode("ascii")).name if found else "utf-8"
    except LookupError:
        return "utf-8"


def damaged(path: Path, why: str) -> DataError:
    """The error for a file that was cut off or made up."""
    return DataError("L204", tr("the file is damaged: {why}", why=why), where=path.name, fix=tr("copy or download it again"))
