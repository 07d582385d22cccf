"""SentencePiece files written field by field, as protocol buffers are."""

from __future__ import annotations

import struct
from collections.abc import Iterable

UNIGRAM = 1


def number(value: int) -> bytes:
    """A whole number, seven bits a byte."""
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(key: int, value: bytes) -> bytes:
    """A field of bytes."""
    return number(key << 3 | 2) + number(len(value)) + value


def written(pieces: Iterable[tuple[str, float, int]], kind: int = UNIGRAM) -> bytes:
    """A file of these: spelling, score and kind of each."""
    every = b"".join(
        field(1, field(1, name.encode()) + number(2 << 3 | 5) + struct.pack("<f", score) + number(3 << 3) + number(which))
        for name, score, which in pieces
    )
    return every + field(2, number(3 << 3) + number(kind)) + field(3, field(1, b"identity"))
