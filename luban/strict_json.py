"""JSON from a stranger: of bounded size and number of parts, every key once, every number finite."""

from __future__ import annotations

import json
import math
from typing import Any

from luban.messages import tr

MOST_PARTS = 400_000  # lists and tables: the dearest in memory for the bytes they take
MOST_VALUES = 4_000_000


def loads(data: bytes) -> Any:
    """The value. Raises ValueError for what is no such JSON; counted before it is parsed, so that memory stays bounded."""
    check_size(data)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse, parse_float=finite)
    except RecursionError as error:
        raise ValueError(tr("nested too deeply")) from error


def check_size(data: bytes) -> None:
    """Raises ValueError where the text could hold more parts than a bundle needs; separators within texts count too."""
    if data.count(b"[") + data.count(b"{") > MOST_PARTS or data.count(b",") + data.count(b":") > MOST_VALUES:
        raise ValueError(tr("more parts than a bundle can need"))


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table whose keys stand once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(tr("a name stands twice"))
    return found


def finite(text: str) -> float:
    """A number that a float can hold."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(tr("a number is not finite"))
    return value


def refuse(name: str) -> Any:
    """NaN, Infinity."""
    raise ValueError(tr("a number is not finite"))
