"""multipart/form-data (RFC 7578) from a body of bounded size: one row, a field for each column, files as bytes."""

from __future__ import annotations

import re

from luban.messages import said
from luban.serving import problems

MOST_PARTS = 256
MOST_HEAD = 2000
BOUNDARY = re.compile(rb'boundary=(?:"([^"\r\n]{1,70})"|([^\s";,]{1,70}))')
NAME = re.compile(rb'[;\s]name="([^"\r\n]*)"', re.IGNORECASE)
FILE = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)


def fields(body: bytes, content_type: bytes) -> dict[str, bytes | str]:
    """Name -> text, or bytes where the part is a file. Raises RequestError L604, L605; file names are not looked at."""
    found = BOUNDARY.search(content_type)
    if not found:
        raise problems.unreadable()
    mark = b"--" + (found[1] or found[2])
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, MOST_PARTS + 2)
    if len(pieces) > MOST_PARTS + 2 or len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise problems.unreadable()
    out: dict[str, bytes | str] = {}
    for piece in pieces[1:-1]:
        name, value = part(piece)
        if name in out:
            raise problems.invalid(said("a field stands twice"))
        out[name] = value
    return out


def part(piece: bytes) -> tuple[str, bytes | str]:
    """Name and value of one part. Raises RequestError L604."""
    head, split, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    name = NAME.search(head) if split and len(head) <= MOST_HEAD else None
    if name is None or b"content-disposition:" not in head.lower():
        raise problems.unreadable()
    try:
        return name[1].decode(), value if FILE.search(head) else value.decode()
    except UnicodeDecodeError as error:
        raise problems.unreadable() from error
