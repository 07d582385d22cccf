"""Chat, completions and embeddings, as clients that exist already speak them; the official one too, where it is installed."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parrot import Config, Parrot, Vectors, stand_in
from running import ANYWHERE, Running, running

from luban.serving.app import Service
from luban.serving.settings import Limits


@pytest.fixture(scope="module")
def speaking(shelf: dict[str, Path]) -> Iterator[Running]:
    names = ("chat", "text", "slow", "vectors")
    service = Service([(name, shelf["number"]) for name in (*names, "number")], place=ANYWHERE, limits=Limits(tokens=50, answer_s=5))
    stand_in(service, "chat", Parrot(Config(column="messages")), "messages", [])
    stand_in(service, "text", Parrot(Config()), "text", [])
    slow = Parrot(Config())
    slow.slow_s = 0.05
    type_of_slow = type("Slow", (Parrot,), {"slow_s": 0.05})
    stand_in(service, "slow", type_of_slow(Config()), "text", [])
    stand_in(service, "vectors", Vectors(Config()), "text", [{"input": {}, "answer": {"embedding": [1.0]}}])
    with running(service) as found:
        yield found


HELLO = [{"role": "user", "content": "你好，世界"}]


def events(answer: Any) -> list[Any]:
    parts = answer.body.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_chat_whole(speaking: Running) -> None:
    answer = speaking.post("/v1/chat/completions", {"model": "chat", "messages": HELLO, "max_tokens": 3}).json
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "你好，", "refusal": None}
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0},
    }  # fmt: skip


def test_chat_streamed(speaking: Running) -> None:
    asked = {"model": "chat", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 9}
    answer = speaking.post("/v1/chat/completions", asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer)
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found[:-1]) == "你好，世界"
    assert [one["choices"][0]["finish_reason"] for one in found[:-1]] == [None] * 6 + ["stop"]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] == 5
    assert {one["id"] for one in found} == {found[0]["id"]}


def test_completions_and_stops(speaking: Running) -> None:
    asked = {"model": "text", "prompt": "abcdef", "stop": ["x", "d"], "max_tokens": 50, "temperature": 0.5, "seed": 3}
    answer = speaking.post("/v1/completions", asked).json
    assert (answer["object"], answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == ("text_completion", "abc", "stop")
    assert (
        speaking.post("/v1/completions", {"model": "text", "prompt": "a" * 80, "max_tokens": 99}).json["usage"]["completion_tokens"] == 50
    )


REFUSED: list[tuple[str, dict[str, Any], int, str | None]] = [
    ("chat", {}, 422, "messages"),
    ("chat", {"messages": []}, 422, "messages"),
    ("chat", {"messages": [{"role": "robot", "content": "a"}]}, 422, "messages.0"),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]}, 422, "messages.0"),
    ("chat", {"messages": HELLO, "n": 0}, 422, "n"),
    ("chat", {"messages": HELLO, "n": 9}, 422, "n"),
    ("chat", {"messages": HELLO, "n": True}, 422, "n"),
    ("chat", {"messages": HELLO, "best_of": 3}, 400, "best_of"),
    ("chat", {"messages": HELLO, "tools": [{}]}, 400, "tools"),
    ("chat", {"messages": HELLO, "logprobs": True}, 400, "logprobs"),
    ("chat", {"messages": HELLO, "top_p": 0.5}, 400, "top_p"),  # this task knows none
    ("chat", {"messages": HELLO, "temperature": 9}, 400, "temperature"),
    ("chat", {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {}}}, 422, "json_schema"),
    ("chat", {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, 400, "json_schema"),
    ("chat", {"messages": HELLO, "logprobs": 3}, 422, "logprobs"),
    ("chat", {"messages": HELLO, "top_logprobs": 3}, 422, "top_logprobs"),
    ("chat", {"messages": HELLO, "logprobs": True, "top_logprobs": 21}, 422, "top_logprobs"),
    ("chat", {"messages": [{"role": "user", "content": "a" * 300_000}]}, 422, "messages"),
    ("chat", {"messages": HELLO, "secret_kanarienvogel": 1}, 400, None),
    ("chat", {"messages": HELLO, "max_tokens": 0}, 422, "max_tokens"),
    ("chat", {"messages": HELLO, "max_tokens": "many"}, 422, "max_tokens"),
    ("chat", {"messages": HELLO, "stop": [1]}, 422, "stop"),
    ("chat", {"messages": HELLO, "stream": "yes"}, 422, "stream"),
]


@pytest.mark.parametrize(("model", "asked", "status", "param"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("stream", [False, True])
def test_what_would_have_no_effect_is_refused(
    model: str, asked: dict[str, Any], status: int, param: str | None, stream: bool, speaking: Running
) -> None:
    answer = speaking.post("/v1/chat/completions", {"model": model, "stream": stream} | asked)
    assert answer.status == status
    assert answer.json["error"]["param"] == param


def test_half_a_character_is_refused(speaking: Running) -> None:
    body = b'{"model": "chat", "messages": [{"role": "user", "content": "\\ud800"}]}'
    answer = speaking.ask("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json["error"]["param"]) == (422, "messages")


def test_an_unknown_parameter_is_not_echoed(speaking: Running) -> None:
    answer = speaking.post("/v1/chat/completions", {"model": "chat", "messages": HELLO, "kanarienvogel": 1})
    assert answer.code == "L618"
    assert b"kanarienvogel" not in answer.body


@pytest.mark.parametrize("route", ["chat/completions", "completions", "embeddings"])
def test_models_that_cannot(route: str, speaking: Running) -> None:
    asked = {"messages": HELLO, "prompt": "a", "input": "a"}
    assert speaking.post(f"/v1/{route}", asked | {"model": "number"}).code == "L617"
    unknown = speaking.post(f"/v1/{route}", asked | {"model": "gpt-4"})
    assert (unknown.status, unknown.code, unknown.json["error"]["param"]) == (404, "L602", "model")


def test_the_document_names_these_routes(speaking: Running, served: Running) -> None:
    paths = speaking.get("/openapi.json").json["paths"]
    chat = paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert chat["properties"]["model"]["enum"] == ["chat", "text", "slow", "vectors"]
    assert chat["properties"]["n"]["maximum"] == speaking.service.limits.choices
    assert chat["properties"]["max_tokens"]["maximum"] == 50
    assert chat["required"] == ["model", "messages"]
    assert paths["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["model"]["enum"] == [
        "vectors"
    ]
    assert not [path for path in served.get("/openapi.json").json["paths"] if "completions" in path or "embeddings" in path]


def test_embeddings(speaking: Running) -> None:
    answer = speaking.post("/v1/embeddings", {"model": "vectors", "input": ["a", "abc"]}).json
    assert [one["embedding"] for one in answer["data"]] == [[1.0, 0.5], [3.0, 0.5]]
    coded = speaking.post("/v1/embeddings", {"model": "vectors", "input": "ab", "encoding_format": "base64"}).json
    assert struct.unpack("<2f", base64.b64decode(coded["data"][0]["embedding"])) == (2.0, 0.5)


def test_answers_move_on_together(speaking: Running) -> None:
    """A short answer asked after a long one does not wait for its end."""
    long = http.client.HTTPConnection("127.0.0.1", speaking.port)
    long.request(
        "POST",
        "/v1/completions",
        json.dumps({"model": "slow", "prompt": "a" * 40, "max_tokens": 40, "stream": True}),
        {"Content-Type": "application/json"},
    )
    begun = time.monotonic()
    assert speaking.post("/v1/completions", {"model": "slow", "prompt": "ab"}).json["choices"][0]["text"] == "ab"
    assert time.monotonic() - begun < 1.5  # the long one takes two seconds
    assert long.getresponse().read().endswith(b"data: [DONE]\n\n")
    long.close()


def test_who_leaves_ends_the_answer(speaking: Running) -> None:
    left = http.client.HTTPConnection("127.0.0.1", speaking.port)
    left.request(
        "POST",
        "/v1/completions",
        json.dumps({"model": "slow", "prompt": "a" * 50, "max_tokens": 50, "stream": True}),
        {"Content-Type": "application/json"},
    )
    response = left.getresponse()
    response.read(10)
    response.close()
    left.close()
    speaker, until = speaking.service.shelf.find("slow").speaker, time.monotonic() + 1.5
    while speaker.count and time.monotonic() < until:
        time.sleep(0.02)
    assert speaker.count == 0


def test_the_official_client(speaking: Running) -> None:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{speaking.port}/v1", api_key="none", max_retries=0) as client:
        assert "chat" in [model.id for model in client.models.list()]
        answer = client.chat.completions.create(model="chat", messages=HELLO, max_tokens=2)
        assert answer.choices[0].message.content == "你好"
        streamed = client.chat.completions.create(model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True})
        chunks = list(streamed)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "你好，世界"
        assert chunks[-1].usage.completion_tokens == 5
        assert client.completions.create(model="text", prompt="abc", stop="c").choices[0].text == "ab"
        vector = client.embeddings.create(model="vectors", input="abcd").data[0].embedding
        assert vector == [4.0, 0.5]
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="gpt-4", messages=HELLO)
        assert missing.value.code == "L602"
        with pytest.raises(openai.BadRequestError) as wrong:
            client.chat.completions.create(model="chat", messages=HELLO, frequency_penalty=1)
        assert wrong.value.param == "frequency_penalty"
