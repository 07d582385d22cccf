"""Routes that clients of language models speak already: chat, completions, embeddings. What would have no effect is refused, not ignored."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from luban.messages import said
from luban.serving import body, problems
from luban.serving.body import header
from luban.serving.hosted import Hosted
from luban.serving.routes import to_response
from luban.serving.rows import hold
from luban.serving.speaking import Piece, Saying

HARMLESS = {"user", "metadata", "store", "safety_identifier", "prompt_cache_key"}  # they change no answer
NEUTRAL = {
    "n": (1, None), "best_of": (1, None), "frequency_penalty": (0, None), "presence_penalty": (0, None), "logit_bias": ({}, None),
    "logprobs": (False, None), "top_logprobs": (0, None), "echo": (False, None), "suffix": ("", None), "tools": ([], None),
    "tool_choice": ("none", "auto", None), "response_format": ({"type": "text"}, None), "parallel_tool_calls": (True, False, None),
    "stream_options": ({}, {"include_usage": True}, {"include_usage": False}, None), "reasoning_effort": (None,), "modalities": (["text"], None),
}  # fmt: skip
PASSED_ON = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "json_schema")
ROLES = ("system", "developer", "user", "assistant")
MOST_MESSAGES = 1000
MOST_INPUTS = 1024
Shape = Callable[[str, str | None, bool], dict[str, Any]]


async def asked_of(request: Request, route: str) -> tuple[Hosted, dict[str, Any]]:
    """The model and the fields of a request. Raises RequestError."""
    service, call, headers = request.app.state.service, request.scope["luban"], request.scope["headers"]
    call.route = route
    data = await body.read(headers, request.receive, service.limits)
    if header(headers, b"content-type").split(b";")[0].strip().lower() != b"application/json":
        raise problems.wrong_type()
    value = await body.parsed(data, service.limits)
    if not isinstance(value, dict):
        raise problems.invalid(said("the body is a table of names"))
    hosted = service.shelf.find(value.pop("model", None))
    call.model = hosted.name
    return hosted, value


def settings_of(asked: dict[str, Any], most_tokens: int) -> dict[str, Any]:
    """What is passed on to the task. Raises RequestError L605, L618."""
    for name, value in asked.items():
        if name in NEUTRAL and value not in NEUTRAL[name] and (name, kind_of(value)) != ("response_format", "json_schema"):
            raise problems.unsupported(name)
        if name not in NEUTRAL and name not in {*PASSED_ON, *HARMLESS, "max_tokens", "max_completion_tokens", "stop", "stream"}:
            raise problems.unsupported()  # its name is the request's own word
    out = {name: asked[name] for name in PASSED_ON if asked.get(name) is not None}
    if kind_of(asked.get("response_format")) == "json_schema":
        out["json_schema"] = asked["response_format"].get("json_schema")
    tokens = asked.get("max_completion_tokens", asked.get("max_tokens"))
    if tokens is not None and (type(tokens) is not int or tokens < 1):
        raise problems.invalid(said("`max_tokens` is a whole number above 0"), param="max_tokens")
    if tokens is not None:
        out["max_tokens"] = min(tokens, most_tokens)
    stop = asked.get("stop")
    if stop is not None:
        out["stop"] = [stop] if isinstance(stop, str) else stop
        if not isinstance(out["stop"], list) or len(out["stop"]) > 16 or not all(isinstance(one, str) and one for one in out["stop"]):
            raise problems.invalid(said("`stop` is a text, or a list of texts"), param="stop")
    if not isinstance(asked.get("stream", False), bool | None):
        raise problems.invalid(said("`stream` is true or false"), param="stream")
    return out


def kind_of(value: Any) -> Any:
    """The type a response format names."""
    return value.get("type") if isinstance(value, dict) else None


def column_of(hosted: Hosted, kind: str, what: Any) -> str:
    """The only column a prompt or messages can stand in. Raises RequestError L617."""
    found = [name for name, found in hosted.inputs.items() if kind in (found, name)]
    if len(found) != 1 or (kind != "embedding" and not hasattr(hosted.opened.model.task, "stream")):
        raise problems.unable(what)
    return found[0]


async def chat(request: Request) -> Response:
    """`/v1/chat/completions`."""
    hosted, asked = await asked_of(request, "/v1/chat/completions")
    column = column_of(hosted, "messages", said("this model does not chat"))
    messages = asked.pop("messages", None)
    check_messages(messages)
    settings = settings_of(asked, hosted.limits.tokens)
    table = pl.DataFrame({column: [messages]})

    def shape(text: str, finish: str | None, whole: bool) -> dict[str, Any]:
        said_ = {"role": "assistant", "content": text}
        part = {"message": said_ | {"refusal": None}} if whole else {"delta": {"content": text} if text or finish is None else {}}
        return {"index": 0, **part, "logprobs": None, "finish_reason": finish}

    return await spoken(request, hosted, asked, table, settings, ("chat.completion", "chat.completion.chunk", "chatcmpl"), shape)


def check_messages(messages: Any) -> None:
    """Raises RequestError L605."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise problems.invalid(said("`messages` is a list of tables with `role` and `content`"), param="messages")
    for place, message in enumerate(messages):
        good = isinstance(message, dict) and message.get("role") in ROLES and isinstance(message.get("content"), str)
        if not good or not set(message) <= {"role", "content", "name"}:
            raise problems.invalid(said("`messages` is a list of tables with `role` and `content`"), param=f"messages.{place}")


async def completions(request: Request) -> Response:
    """`/v1/completions`."""
    hosted, asked = await asked_of(request, "/v1/completions")
    column = column_of(hosted, "text", said("this model does not continue texts"))
    prompt = asked.pop("prompt", None)
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise problems.invalid(said("`prompt` is a text"), param="prompt")
    rows = hold([{column: prompt}], {column: "text"}, hosted.limits)
    settings = settings_of(asked, hosted.limits.tokens)

    def shape(text: str, finish: str | None, whole: bool) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    return await spoken(request, hosted, asked, rows.table(), settings, ("text_completion", "text_completion", "cmpl"), shape)


async def spoken(
    request: Request, hosted: Hosted, asked: dict[str, Any], table: pl.DataFrame, settings: dict[str, Any], kinds: tuple[str, str, str], shape: Shape
) -> Response:  # fmt: skip
    """The answer whole, or piece by piece as server-sent events."""
    speaker, number = hosted.speaker, request.scope["luban"].number
    facts = {"id": f"{kinds[2]}-{number}", "created": int(time.time()), "model": hosted.name, "system_fingerprint": hosted.opened.version}
    saying = speaker.begin(hosted.opened.model, table, settings)
    if not asked.get("stream"):
        try:
            text, last, tokens = await whole(saying)
        finally:
            speaker.end(saying)
        hosted.gauges.tokens.labels(hosted.name).inc(tokens)
        choices = [shape(text, last.finish, True)]
        return to_response({**facts, "object": kinds[0], "choices": choices, "usage": usage(last.prompt_tokens, tokens)})
    try:
        first = await heard(saying)  # what is wrong with the request is told with its status
    except BaseException:
        speaker.end(saying)
        raise
    with_usage = (asked.get("stream_options") or {}).get("include_usage", False)
    events = streamed(hosted, saying, first, {**facts, "object": kinds[1]}, shape, with_usage=with_usage)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def heard(saying: Saying) -> Piece:
    """The next piece. Raises RequestError."""
    piece = await saying.pieces.get()
    if isinstance(piece, Exception):
        raise piece
    return piece


async def whole(saying: Saying) -> tuple[str, Piece, int]:
    """All pieces."""
    texts, tokens = [], 0
    while True:
        piece = await heard(saying)
        texts.append(piece.text)
        tokens += piece.tokens
        if piece.finish:
            return "".join(texts), piece, tokens


async def streamed(
    hosted: Hosted, saying: Saying, first: Piece, facts: dict[str, Any], shape: Shape, *, with_usage: bool
) -> AsyncIterator[bytes]:  # fmt: skip
    """Events, the last of them `[DONE]`; who leaves ends the answer."""
    piece, tokens = first, 0
    nothing = {"usage": None} if with_usage else {}
    try:
        if facts["object"] == "chat.completion.chunk":
            opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
            yield event({**facts, "choices": [opening], **nothing})
        while True:
            tokens += piece.tokens
            if piece.text:
                yield event({**facts, "choices": [shape(piece.text, None, False)], **nothing})
            if piece.finish:
                break
            piece = await heard(saying)
        yield event({**facts, "choices": [shape("", piece.finish, False)], **nothing})
        if with_usage:
            yield event({**facts, "choices": [], "usage": usage(piece.prompt_tokens, tokens)})
        yield b"data: [DONE]\n\n"
    except problems.RequestError as error:
        yield b"data: " + error.body(facts["id"].partition("-")[2]) + b"\n\n"
    finally:
        hosted.speaker.end(saying)
        hosted.gauges.tokens.labels(hosted.name).inc(tokens)


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n\n"


def usage(prompt: int, answer: int) -> dict[str, int]:
    """As clients count."""
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


async def embeddings(request: Request) -> Response:
    """`/v1/embeddings`: for models whose answers hold an `embedding`."""
    hosted, asked = await asked_of(request, "/v1/embeddings")
    unable = said("this model gives no embeddings")
    texts = [name for name, kind in hosted.inputs.items() if kind == "text"]
    if len(texts) != 1 or not all("embedding" in line["answer"] for line in hosted.opened.examples[:1]) or not hosted.opened.examples:
        raise problems.unable(unable)
    given = asked.pop("input", None)
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_INPUTS or not all(isinstance(one, str) and one for one in given):
        raise problems.invalid(said("`input` is a text, or a list of texts"), param="input")
    form = asked.pop("encoding_format", "float")
    if form not in ("float", "base64"):
        raise problems.unsupported("encoding_format")
    if set(asked) - HARMLESS:
        raise problems.unsupported()
    rows = hold([{texts[0]: one} for one in given], {texts[0]: "text"}, hosted.limits)
    answers = await hosted.batcher.submit(rows, hosted.limits.answer_s, request.receive)
    data = [{"object": "embedding", "index": place, "embedding": coded(answer["embedding"], form)} for place, answer in enumerate(answers)]
    return to_response({"object": "list", "data": data, "model": hosted.name, "usage": {"prompt_tokens": 0, "total_tokens": 0}})


def coded(vector: list[float], form: str) -> Any:
    """Numbers, or float32 in base64."""
    return vector if form == "float" else base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


ROUTES = (
    ("/v1/chat/completions", "POST", chat),
    ("/v1/completions", "POST", completions),
    ("/v1/embeddings", "POST", embeddings),
)
