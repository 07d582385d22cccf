"""Several choices to one prompt: each as if it had been asked for alone by a seed of its own, the prompt read and counted once; streamed, whole, by the client."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from running import Running
from untrained import LIMITS, alone, metric

from luban.draw import key_of

PROMPT = "the cat sees a bird in the tree and 小猫看见飞鸟"
ASKED = {"model": "text", "prompt": PROMPT, "max_tokens": 12, "temperature": 0.9, "seed": 5, "n": 3}
TALK = [{"role": "user", "content": "1 plus 1?"}]


def events(answer: Any) -> list[Any]:
    parts = answer.body.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_each_choice_is_what_its_seed_says_alone(speaking: Running, pair: tuple[Any, Any]) -> None:
    found = speaking.post("/v1/completions", ASKED).json
    seeds = [5, *(key_of(5, place) % 2**63 for place in (1, 2))]
    assert [one["index"] for one in found["choices"]] == [0, 1, 2]
    wanted = [alone(pair, PROMPT, max_tokens=12, temperature=0.9, seed=seed) for seed in seeds]
    assert [one["text"] for one in found["choices"]] == wanted
    assert len(set(wanted)) == 3
    usage = found["usage"]
    one = speaking.post("/v1/completions", ASKED | {"n": 1}).json
    assert one["choices"] == found["choices"][:1]
    assert usage["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] > one["usage"]["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_prompt_is_read_once(speaking: Running) -> None:
    fresh = "a dog finds the moon behind the house, 然后回家 " + PROMPT
    before = metric(speaking, "luban_reused_tokens_total")
    found = speaking.post("/v1/completions", ASKED | {"prompt": fresh}).json
    length = found["usage"]["prompt_tokens"]
    assert metric(speaking, "luban_reused_tokens_total") - before >= 2 * (length - 1)
    assert found["usage"]["prompt_tokens_details"]["cached_tokens"] < length / 2


@pytest.mark.parametrize("logprobs", [None, 2])
def test_streamed_choices_are_the_same(speaking: Running, logprobs: int | None) -> None:
    asked = ASKED | ({} if logprobs is None else {"logprobs": logprobs})
    whole = speaking.post("/v1/completions", asked).json
    found = events(speaking.post("/v1/completions", asked | {"stream": True, "stream_options": {"include_usage": True}}))
    assert found[-1]["choices"] == []
    assert {name: found[-1]["usage"][name] for name in ("prompt_tokens", "completion_tokens")} == {
        name: whole["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    }
    parts = [choice for one in found for choice in one["choices"]]
    for place, choice in enumerate(whole["choices"]):
        own = [part for part in parts if part["index"] == place]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own if part["finish_reason"]] == [choice["finish_reason"]]
        if logprobs is not None:
            told = [chance for part in own if part["logprobs"] for chance in part["logprobs"]["token_logprobs"]]
            assert told == pytest.approx(choice["logprobs"]["token_logprobs"], abs=1e-4)
            offsets = [offset for part in own if part["logprobs"] for offset in part["logprobs"]["text_offset"]]
            assert offsets == choice["logprobs"]["text_offset"]


def test_a_chat_of_several_choices(speaking: Running) -> None:
    asked = {"model": "chat", "messages": TALK, "max_tokens": 6, "temperature": 1.0, "n": 2}
    whole = speaking.post("/v1/chat/completions", asked).json
    found = events(speaking.post("/v1/chat/completions", asked | {"stream": True}))
    assert [one["choices"][0]["delta"].get("role") for one in found[:2]] == ["assistant", "assistant"]
    for place in (0, 1):
        deltas = [one["choices"][0]["delta"].get("content", "") for one in found if one["choices"][0]["index"] == place]
        assert "".join(deltas) == whole["choices"][place]["message"]["content"]


def test_choices_that_have_no_room_are_refused_whole(speaking: Running) -> None:
    speaker = speaking.service.shelf.find("text").speaker
    before = speaker.count
    speaker.count = LIMITS.streams + LIMITS.waiting_streams - 2  # room for two
    try:
        refused = speaking.post("/v1/completions", ASKED)
        taken = speaking.post("/v1/completions", ASKED | {"n": 2})
    finally:
        speaker.count = before
    assert (refused.status, refused.code, taken.status) == (429, "L612", 200)


def test_a_prompt_that_is_too_long_is_told_once(speaking: Running) -> None:
    answer = speaking.post("/v1/completions", ASKED | {"prompt": "a" * 300, "stream": True})
    assert (answer.status, answer.code) == (400, "context_length_exceeded")
    assert speaking.service.shelf.find("text").speaker.count == 0


def test_the_official_client_reads_choices(speaking: Running) -> None:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{speaking.port}/v1", api_key="none", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "chat", "messages": TALK, "max_tokens": 6, "temperature": 1.0, "n": 3}
        answer = client.chat.completions.create(**asked)
        texts = [""] * 3
        for chunk in client.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == [choice.message.content for choice in answer.choices]
        several = client.completions.create(model="text", prompt="The", max_tokens=5, n=2)
        assert [choice.index for choice in several.choices] == [0, 1]


SEVERAL = ["The cat sees", PROMPT, "小猫看见"]


@pytest.mark.parametrize("count", [1, 2])
def test_several_prompts_are_answered_as_each_alone(speaking: Running, count: int) -> None:
    """Choices of the first prompt first, as clients count them; usage is the sum."""
    found = speaking.post("/v1/completions", ASKED | {"prompt": SEVERAL, "n": count}).json
    apart = [speaking.post("/v1/completions", ASKED | {"prompt": prompt, "n": count}).json for prompt in SEVERAL]
    assert [one["index"] for one in found["choices"]] == list(range(3 * count))
    assert [one["text"] for one in found["choices"]] == [one["text"] for answer in apart for one in answer["choices"]]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert found["usage"][name] == sum(answer["usage"][name] for answer in apart)


def test_several_prompts_streamed_come_between_one_another(speaking: Running) -> None:
    asked = ASKED | {"prompt": SEVERAL, "n": 2}
    whole = speaking.post("/v1/completions", asked).json
    found = events(speaking.post("/v1/completions", asked | {"stream": True, "stream_options": {"include_usage": True}}))
    parts = [choice for one in found for choice in one["choices"]]
    for place, choice in enumerate(whole["choices"]):
        own = [part for part in parts if part["index"] == place]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own if part["finish_reason"]] == [choice["finish_reason"]]
    order = [part["index"] for part in parts]
    assert order != sorted(order)
    assert found[-1]["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert found[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_tokens_are_a_prompt_too(speaking: Running) -> None:
    task = speaking.service.shelf.find("text").opened.model.task
    ids = [tokens.tolist() for tokens in task.whole_prompts(pl.DataFrame({task.column: SEVERAL}))]
    wanted = speaking.post("/v1/completions", ASKED | {"prompt": SEVERAL}).json
    assert speaking.post("/v1/completions", ASKED | {"prompt": ids}).json["choices"] == wanted["choices"]
    alone = speaking.post("/v1/completions", ASKED | {"prompt": ids[0]}).json
    assert [one["text"] for one in alone["choices"]] == [one["text"] for one in wanted["choices"][:3]]


@pytest.mark.parametrize(("prompt", "status", "code"), [
    ([], 422, "L605"), (["a", 3], 422, "L605"), ([[]], 422, "L605"), ([["a"]], 422, "L605"), ([True], 422, "L605"), ([[1.5]], 422, "L605"),
    ([-1], 422, "L605"), ([10**9], 422, "L605"), ([[1], [10**30]], 422, "L605"), (["a"] * 17, 422, "L605"), (None, 422, "L605"), ({}, 422, "L605"),
    (["a", "b" * 3000], 400, "context_length_exceeded"), ([[1, 2], [1] * 3000], 400, "context_length_exceeded"),
])  # fmt: skip
@pytest.mark.parametrize("streaming", [False, True])
def test_prompts_that_cannot_be_are_refused_whole(speaking: Running, prompt: Any, status: int, code: str, streaming: bool) -> None:
    answer = speaking.post("/v1/completions", ASKED | {"prompt": prompt, "n": 1, "stream": streaming})
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["error"]["param"] == "prompt"
    assert speaking.service.shelf.find("text").speaker.count == 0


def test_the_official_client_reads_several_prompts(speaking: Running) -> None:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{speaking.port}/v1", api_key="none", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "text", "prompt": SEVERAL, "max_tokens": 6, "temperature": 0.9, "seed": 5, "n": 2}
        answer = client.completions.create(**asked)
        assert [choice.index for choice in answer.choices] == list(range(6))
        texts = [""] * 6
        for chunk in client.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        assert texts == [choice.text for choice in answer.choices]
        with pytest.raises(openai.UnprocessableEntityError):
            client.completions.create(model="text", prompt=[[1], []], max_tokens=5)
