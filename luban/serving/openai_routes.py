"""Routes that clients of language models speak already: chat, completions, embeddings. What would have no effect is refused, not ignored."""

from __future__ import annotations

import base64
import struct
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import Response

from luban.capabilities import Streams
from luban.messages import said
from luban.serving import body, problems
from luban.serving.body import header
from luban.serving.choices import ChatShape, TextShape
from luban.serving.desks import Wish
from luban.serving.hosted import Hosted
from luban.serving.routes import to_response
from luban.serving.rows import Wrong, check_characters, hold
from luban.serving.spoken import spoken
from luban.task import traits_of

HARMLESS = {"user", "metadata", "store", "safety_identifier", "prompt_cache_key"}  # they change no answer
NEUTRAL = {
    "best_of": (1, None), "frequency_penalty": (0, None), "presence_penalty": (0, None), "logit_bias": ({}, None),
    "echo": (False, None), "suffix": ("", None), "tools": ([], None),
    "tool_choice": ("none", "auto", None), "response_format": ({"type": "text"}, None), "parallel_tool_calls": (True, False, None),
    "stream_options": ({}, {"include_usage": True}, {"include_usage": False}, None), "reasoning_effort": (None,), "modalities": (["text"], None),
}  # fmt: skip
PASSED_ON = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "json_schema")
ROLES = ("system", "developer", "user", "assistant")
MOST_MESSAGES = 1000
MOST_INPUTS = 1024
MOST_LIKELIEST, MOST_LIKELIEST_OF_TEXTS = 20, 5  # as clients know them


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
        if name not in NEUTRAL and name not in {*PASSED_ON, *HARMLESS, "max_tokens", "max_completion_tokens", "stop", "stream", "n"}:
            raise problems.unsupported()  # its name is the request's own word
    out = {name: asked[name] for name in PASSED_ON if asked.get(name) is not None}
    if kind_of(asked.get("response_format")) == "json_schema":
        out["json_schema"] = schema_of(asked["response_format"].get("json_schema"))
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


def check_choices(asked: dict[str, Any], hosted: Hosted) -> None:
    """Raises RequestError L605 for a number that cannot be, L618 where several answers could not differ."""
    wanted, most = asked.get("n"), hosted.limits.choices
    if wanted is not None and (type(wanted) is not int or not 1 <= wanted <= most):
        raise problems.invalid(said("`{name}` is a whole number between {least} and {most}", name="n", least=1, most=most), param="n")
    if (wanted or 1) > 1 and not hasattr(getattr(hosted.opened.model.task.config, "generation", None), "seed"):
        raise problems.unsupported("n")


def schema_of(described: Any) -> dict[str, Any]:
    """`{"name": …, "schema": {…}}` holds it. Raises RequestError L605."""
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise problems.invalid(said("`response_format.json_schema` holds `schema`, a table"), param="json_schema")
    return schema


def kind_of(value: Any) -> Any:
    """The type a response format names."""
    return value.get("type") if isinstance(value, dict) else None


def column_of(hosted: Hosted, kind: str, what: Any) -> str:
    """The only column a prompt or messages can stand in. Raises RequestError L617."""
    task = hosted.opened.model.task
    any_column = kind == "messages" and traits_of(task).converses
    found = [name for name, found in hosted.inputs.items() if any_column or kind in (found, name)]
    if len(found) != 1 or not isinstance(task, Streams):
        raise problems.unable(what)
    return found[0]


async def chat(request: Request) -> Response:
    """`/v1/chat/completions`."""
    hosted, asked = await asked_of(request, "/v1/chat/completions")
    column = column_of(hosted, "messages", said("this model does not chat"))
    check_choices(asked, hosted)
    messages = asked.pop("messages", None)
    check_messages(messages, hosted.limits.characters)
    likeliest = likeliest_of(asked, "top_logprobs", MOST_LIKELIEST)
    wish = Wish(pl.DataFrame({column: [messages]}), settings_of(asked, hosted.limits.tokens), likeliest)
    return await spoken(request, hosted, [wish], asked, ChatShape)


def likeliest_of(asked: dict[str, Any], name: str, most: int) -> int | None:
    """How many tokens are told of each place, None where none; taken out of what is asked. Raises RequestError L605."""
    wanted, count = asked.pop("logprobs", None), asked.pop("top_logprobs", None)
    if name == "top_logprobs":
        if not isinstance(wanted, bool | None):
            raise problems.invalid(said("`logprobs` is true or false"), param="logprobs")
        if count is not None and not wanted:
            raise problems.invalid(said("`top_logprobs` asks for `logprobs`"), param="top_logprobs")
        found = (count or 0) if wanted else None
    else:
        found = wanted
    if found is not None and (type(found) is not int or not 0 <= found <= most):
        raise problems.invalid(said("`{name}` is a whole number between {least} and {most}", name=name, least=0, most=most), param=name)
    return found


def check_messages(messages: Any, most: int) -> None:
    """Raises RequestError L605."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise problems.invalid(said("`messages` is a list of tables with `role` and `content`"), param="messages")
    for place, message in enumerate(messages):
        good = isinstance(message, dict) and message.get("role") in ROLES and isinstance(message.get("content"), str)
        if not good or not set(message) <= {"role", "content", "name"}:
            raise problems.invalid(said("`messages` is a list of tables with `role` and `content`"), param=f"messages.{place}")
    texts = [text for message in messages for text in message.values() if isinstance(text, str)]
    if sum(map(len, texts)) > most:
        raise problems.invalid(said("the text is longer than {most} characters", most=most), param="messages")
    try:
        for text in texts:
            check_characters(text)
    except Wrong as wrong:
        raise problems.invalid(wrong.what, param="messages") from wrong


async def completions(request: Request) -> Response:
    """`/v1/completions`."""
    hosted, asked = await asked_of(request, "/v1/completions")
    column = column_of(hosted, "text", said("this model does not continue texts"))
    check_choices(asked, hosted)
    prompts = prompts_of(asked.pop("prompt", None), hosted.limits.prompts)
    texts = [prompt if isinstance(prompt, str) else "" for prompt in prompts]
    table = hold([{column: text} for text in texts], {column: "text"}, hosted.limits).table()
    likeliest = likeliest_of(asked, "logprobs", MOST_LIKELIEST_OF_TEXTS)
    settings = settings_of(asked, hosted.limits.tokens)
    tokens = [None if isinstance(prompt, str) else prompt for prompt in prompts]
    wishes = [Wish(table[place : place + 1], settings, likeliest, tokens[place]) for place in range(len(prompts))]
    return await spoken(request, hosted, wishes, asked, TextShape)


def prompts_of(given: Any, most: int) -> list[str | tuple[int, ...]]:
    """A text, tokens, or a list of texts or of tokens, as a list of prompts. Raises RequestError L605."""
    if isinstance(given, list) and given and all(type(one) is int for one in given):
        given = [given]
    prompts = given if isinstance(given, list) else [given]
    of_texts = all(isinstance(one, str) for one in prompts)
    of_tokens = all(isinstance(one, list) and one and all(type(token) is int for token in one) for one in prompts)
    if not prompts or not (of_texts or of_tokens):
        raise problems.invalid(said("`prompt` is a text, a list of texts, or their tokens"), param="prompt")
    if len(prompts) > most:
        raise problems.invalid(said("there must be between 1 and {most} prompts", most=most), param="prompt")
    return [one if isinstance(one, str) else tuple(one) for one in prompts]


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
