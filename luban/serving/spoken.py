"""Generated answers on their way to a client: whole, or as server-sent events; several choices to each of several prompts beside each other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from luban.draw import key_of
from luban.serving import problems
from luban.serving.choices import Shape
from luban.serving.desks import Piece, Wish, Word
from luban.serving.hosted import Hosted
from luban.serving.routes import to_response
from luban.serving.speaking import Saying

SEEDS = 2**63  # a seed is less


async def spoken(request: Request, hosted: Hosted, prompts: list[Wish], asked: dict[str, Any], shape: type[Shape]) -> Response:
    """The answers whole, or piece by piece as server-sent events; those to the first prompt first. Raises RequestError, and Gone where the client left."""
    number, count = request.scope["luban"].number, asked.get("n") or 1
    facts = {
        "id": f"{shape.kinds[2]}-{number}",
        "created": int(time.time()),
        "model": hosted.name,
        "system_fingerprint": hosted.opened.version,
    }
    every = [one for wish in prompts for one in wishes(wish, count)]
    saying, streaming, handed_on = hosted.speaker.begin(hosted.opened.model, *every), bool(asked.get("stream")), False
    try:
        with watched(saying, request):
            if not streaming:
                return await whole(saying, count, {**facts, "object": shape.kinds[0]}, shape)
            first = await saying.heard()  # what is wrong with the request is told with its status
        handed_on = True
    except problems.RequestError as error:
        error.param = shape.param if error.param == "prompt" else error.param
        raise
    finally:
        if not handed_on:
            hosted.speaker.end(saying)
    with_usage = (asked.get("stream_options") or {}).get("include_usage", False)
    counted = Counted(saying.choices, count)
    events = streamed(hosted, saying, first, counted, Events({**facts, "object": shape.kinds[1]}, shape, with_usage=with_usage))
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


def wishes(wish: Wish, count: int) -> list[Wish]:
    """So many of one: the first as it is asked, the others by seeds that follow from its own."""
    seed = wish.settings.get("seed", 0)
    if count == 1 or type(seed) is not int:  # which is refused by the task
        return [wish] * count
    return [wish, *(replace(wish, settings=wish.settings | {"seed": key_of(seed, place) % SEEDS}) for place in range(1, count))]


@contextlib.contextmanager
def watched(saying: Saying, request: Request) -> Iterator[None]:
    """Who leaves is noticed; afterwards the response itself hears it."""
    watching = asyncio.get_running_loop().create_task(saying.watch(request.receive))
    try:
        yield
    finally:
        watching.cancel()


class Counted:
    """Tokens of all choices; a prompt, which so many of them share, counts once."""

    def __init__(self, choices: int, shared: int) -> None:
        self.left, self.shared, self.tokens = choices, shared, 0
        self.prompts: dict[int, tuple[int, int]] = {}  # of each prompt its tokens, and those that were not read again

    def look(self, place: int, piece: Piece) -> None:
        """One more piece."""
        self.tokens += piece.tokens
        self.left -= bool(piece.finish)
        if place % self.shared == 0:
            self.prompts[place] = piece.prompt_tokens, piece.reused

    def usage(self) -> dict[str, Any]:
        """As clients count."""
        prompt, reused = (sum(found[kind] for found in self.prompts.values()) for kind in (0, 1))
        counts = {"prompt_tokens": prompt, "completion_tokens": self.tokens, "total_tokens": prompt + self.tokens}
        return counts | {"prompt_tokens_details": {"cached_tokens": reused}}


async def whole(saying: Saying, shared: int, facts: dict[str, Any], shape: type[Shape]) -> Response:
    """All pieces of each choice in one."""
    counted = Counted(saying.choices, shared)
    texts: list[list[str]] = [[] for _ in range(saying.choices)]
    words: list[list[Word]] = [[] for _ in range(saying.choices)]
    finishes = [""] * saying.choices
    while counted.left:
        place, piece = await saying.heard()
        counted.look(place, piece)
        texts[place].append(piece.text)
        words[place] += piece.words
        finishes[place] = piece.finish
    told = [None if saying.likeliest is None else found for found in words]
    choices = [shape(place).whole("".join(texts[place]), finishes[place], told[place]) for place in range(saying.choices)]
    return to_response({**facts, "choices": choices, "usage": counted.usage()})


class Events:
    """Writes server-sent events; what all of them share is written once."""

    def __init__(self, facts: dict[str, Any], shape: type[Shape], *, with_usage: bool) -> None:
        self.facts, self.shape, self.with_usage = facts, shape, with_usage
        self.head = b"data: " + coded(facts)[:-1] + b', "choices": ['
        self.tail = b'], "usage": null}\n\n' if with_usage else b"]}\n\n"

    def of(self, choice: dict[str, Any] | None) -> bytes:
        """What is new of one choice."""
        return b"" if choice is None else self.head + coded(choice) + self.tail

    def last(self, counted: Counted) -> bytes:
        """What was used, where that was asked for, and the end."""
        used = b"data: " + coded({**self.facts, "choices": [], "usage": counted.usage()}) + b"\n\n" if self.with_usage else b""
        return used + b"data: [DONE]\n\n"


async def streamed(hosted: Hosted, saying: Saying, first: tuple[int, Piece], counted: Counted, events: Events) -> AsyncIterator[bytes]:
    """Events, the last of them `[DONE]`; what is there at once is written at once, and who leaves ends the answer."""
    shapes = [events.shape(place) for place in range(saying.choices)]
    chances = saying.likeliest is not None
    out = b"".join(events.of(shape.opening()) for shape in shapes)
    place, piece = first
    try:
        while True:
            counted.look(place, piece)
            if piece.text or piece.words:
                out += events.of(shapes[place].part(piece.text, None, list(piece.words) if chances else None))
            if piece.finish:
                out += events.of(shapes[place].part("", piece.finish, None))
            if not counted.left:
                break
            if out and saying.pieces.empty():
                yield out
                out = b""
            place, piece = await saying.heard()
        yield out + events.last(counted)
    except problems.RequestError as error:
        yield out + b"data: " + error.body(events.facts["id"].partition("-")[2]) + b"\n\n"
    finally:
        hosted.speaker.end(saying)


def coded(value: Any) -> bytes:
    """JSON that holds no NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
