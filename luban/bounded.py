"""Deflated bytes written in base64, unpacked to the length they state and no further."""

from __future__ import annotations

import base64
import zlib

from luban.messages import tr


def inflated(text: str, size: int) -> bytes:
    """The bytes. Raises ValueError where they are more or fewer than stated, or were not deflated."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(base64.b64decode(text, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(raw) != size or inflate.unconsumed_tail:
        raise ValueError(tr("a packed table has another length than it says"))
    return raw


def deflated(raw: bytes) -> str:
    """As text."""
    return base64.b64encode(zlib.compress(raw, 6)).decode()
