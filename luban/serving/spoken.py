"""A generated answer as clients of language models read it: whole, or as server-sent events; with chances where they were asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from luban.serving import problems
from luban.serving.desks import Piece, Wish, Word
from luban.serving.hosted import Hosted
from luban.serving.routes import to_response
from luban.serving.speaking import Saying


class Shape(Protocol):
    """How a route writes one choice."""

    kinds: tuple[str, str, str]  # of a whole answer, of a part, and of its id
    param: str  # where the prompt stands

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """All of it."""
        ...

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """What is new."""
        ...


class ChatShape:
    """`/v1/chat/completions`."""

    kinds: tuple[str, str, str] = ("chat.completion", "chat.completion.chunk", "chatcmpl")
    param: str = "messages"

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """A message."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": 0, "message": message, "logprobs": self.chances(words), "finish_reason": finish}

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """A delta."""
        delta = {"content": text} if text or words or finish is None else {}
        return {"index": 0, "delta": delta, "logprobs": self.chances(words), "finish_reason": finish}

    @staticmethod
    def chances(words: list[Word] | None) -> dict[str, Any] | None:
        """Each token with its bytes and the logarithm of its chance, and the likeliest ones."""
        if words is None:
            return None
        one = [
            spelt(word.data, word.log) | {"top_logprobs": [spelt(data, log) for data, log in word.others]}
            for word in words
        ]  # fmt: skip
        return {"content": one, "refusal": None}


class TextShape:
    """`/v1/completions`; offsets count the characters of the answer."""

    kinds: tuple[str, str, str] = ("text_completion", "text_completion", "cmpl")
    param: str = "prompt"

    def __init__(self) -> None:
        self.offset = 0

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """A text."""
        return {"index": 0, "text": text, "logprobs": self.chances(words), "finish_reason": finish}

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """The same of what is new."""
        return {"index": 0, "text": text, "logprobs": self.chances(words), "finish_reason": finish}

    def chances(self, words: list[Word] | None) -> dict[str, Any] | None:
        """Lists side by side."""
        if words is None:
            return None
        names, offsets = [text_of(word.data) for word in words], []
        for name in names:
            offsets.append(self.offset)
            self.offset += len(name)
        tops = [{text_of(data): finite(log) for data, log in word.others} for word in words] if any(w.others for w in words) else None
        return {"tokens": names, "token_logprobs": [finite(word.log) for word in words], "top_logprobs": tops, "text_offset": offsets}


def spelt(data: bytes, log: float) -> dict[str, Any]:
    """One token."""
    return {"token": text_of(data), "logprob": finite(log), "bytes": list(data)}


def text_of(data: bytes) -> str:
    """As text; a part of a character by its bytes, as clients know it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(log: float) -> float:
    """As JSON can have it: what cannot be said is told as very unlikely."""
    return max(log, -9999.0)


async def spoken(request: Request, hosted: Hosted, wish: Wish, asked: dict[str, Any], shape: Shape) -> Response:
    """The answer whole, or piece by piece as server-sent events. Raises RequestError, and Gone where the client left."""
    number = request.scope["luban"].number
    facts = {
        "id": f"{shape.kinds[2]}-{number}",
        "created": int(time.time()),
        "model": hosted.name,
        "system_fingerprint": hosted.opened.version,
    }
    saying, streaming, handed_on = hosted.speaker.begin(hosted.opened.model, wish), bool(asked.get("stream")), False
    try:
        with watched(saying, request):
            if not streaming:
                return await whole(saying, {**facts, "object": shape.kinds[0]}, shape)
            first = await saying.next()  # what is wrong with the request is told with its status
        handed_on = True
    except problems.RequestError as error:
        error.param = shape.param if error.param == "prompt" else error.param
        raise
    finally:
        if not handed_on:
            hosted.speaker.end(saying)
    with_usage = (asked.get("stream_options") or {}).get("include_usage", False)
    events = streamed(hosted, saying, first, {**facts, "object": shape.kinds[1]}, shape, with_usage=with_usage)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


@contextlib.contextmanager
def watched(saying: Saying, request: Request) -> Iterator[None]:
    """Who leaves is noticed; afterwards the response itself hears it."""
    watching = asyncio.get_running_loop().create_task(saying.watch(request.receive))
    try:
        yield
    finally:
        watching.cancel()


async def whole(saying: Saying, facts: dict[str, Any], shape: Shape) -> Response:
    """All pieces in one."""
    texts: list[str] = []
    words: list[Word] = []
    tokens, piece = 0, Piece("")
    while not piece.finish:
        piece = await saying.next()
        texts.append(piece.text)
        words += piece.words
        tokens += piece.tokens
    choice = shape.whole("".join(texts), piece.finish, None if saying.wish.likeliest is None else words)
    return to_response({**facts, "choices": [choice], "usage": usage(piece, tokens)})


async def streamed(
    hosted: Hosted, saying: Saying, first: Piece, facts: dict[str, Any], shape: Shape, *, with_usage: bool
) -> AsyncIterator[bytes]:  # fmt: skip
    """Events, the last of them `[DONE]`; who leaves ends the answer."""
    piece, tokens = first, 0
    nothing = {"usage": None} if with_usage else {}
    chances = saying.wish.likeliest is not None
    try:
        if facts["object"] == "chat.completion.chunk":
            opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            yield event({**facts, "choices": [opening], **nothing})
        while True:
            tokens += piece.tokens
            if piece.text or piece.words:
                yield event({**facts, "choices": [shape.part(piece.text, None, list(piece.words) if chances else None)], **nothing})
            if piece.finish:
                break
            piece = await saying.next()
        yield event({**facts, "choices": [shape.part("", piece.finish, None)], **nothing})
        if with_usage:
            yield event({**facts, "choices": [], "usage": usage(piece, tokens)})
        yield b"data: [DONE]\n\n"
    except problems.RequestError as error:
        yield b"data: " + error.body(facts["id"].partition("-")[2]) + b"\n\n"
    finally:
        hosted.speaker.end(saying)


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


def usage(last: Piece, tokens: int) -> dict[str, Any]:
    """As clients count."""
    counts = {"prompt_tokens": last.prompt_tokens, "completion_tokens": tokens, "total_tokens": last.prompt_tokens + tokens}
    return counts | {"prompt_tokens_details": {"cached_tokens": last.reused}}
