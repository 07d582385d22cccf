"""A request's body: bounded while it is read, then strict JSON of bounded depth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from luban import strict_json
from luban.messages import said
from luban.serving import problems
from luban.serving.settings import Limits

Receive = Callable[[], Awaitable[Any]]
Headers = list[tuple[bytes, bytes]]
LARGE = 200_000  # bytes, from which parsing would keep others waiting


class Gone(Exception):
    """The client left."""


def header(headers: Headers, name: bytes) -> bytes:
    """The value of a header, or nothing."""
    return next((value for key, value in headers if key == name), b"")


async def read(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises RequestError L604, L606, L608, L609, and Gone."""
    if header(headers, b"content-encoding") not in (b"", b"identity"):
        raise problems.wrong_type()
    length = header(headers, b"content-length")
    if length and (not length.isdigit() or int(length) > limits.body_bytes):
        raise problems.too_large() if length.isdigit() else problems.unreadable()
    try:
        async with asyncio.timeout(limits.body_s):
            return await read_on(await receive(), receive, limits.body_bytes)
    except TimeoutError as error:
        raise problems.too_slow() from error


async def read_on(message: Any, receive: Receive, most: int) -> bytes:
    """Piece by piece. Raises RequestError L606 as soon as it is too much."""
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise problems.too_large()
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def parsed(data: bytes, limits: Limits) -> Any:
    """The value; a large one is parsed beside the loop."""
    if len(data) <= LARGE:
        return parse(data, limits.depth)
    return await asyncio.get_running_loop().run_in_executor(None, parse, data, limits.depth)


def parse(data: bytes, depth: int) -> Any:
    """Strict JSON: names once, numbers finite, of bounded depth. Raises RequestError L604 for what is no JSON, L605 for such as is not taken."""
    try:
        value = strict_json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise problems.unreadable() from error
    except ValueError as error:
        raise problems.invalid(said("the JSON holds a number that is not finite, a name twice, or too many or too deep parts")) from error
    if data.count(b"[") + data.count(b"{") > depth and deeper(value, depth):
        raise problems.invalid(said("the JSON holds a number that is not finite, a name twice, or too many or too deep parts"))
    return value


def deeper(value: Any, depth: int) -> bool:
    """Whether lists and tables stand deeper inside one another."""
    level = [value]
    for _ in range(depth):
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())]
        level = [part for part in level if isinstance(part, dict | list)]
        if not level:
            return False
    return True
