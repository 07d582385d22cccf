"""Answers of a language model said beside each other: each the same as alone, newcomers join between steps, who leaves makes room, beginnings are reused."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from running import Running
from untrained import LIMITS, alone, made, metric

from luban.generating.guessing import Costs
from luban.generating.settings import Generation
from luban.generating.slots import generate
from luban.serving import desks
from luban.serving.desks import Piece, Wish
from luban.serving.problems import RequestError
from luban.serving.settings import Limits
from luban.serving.speaking import Speaker
from luban.tasks.language_modeling import LanguageModeling

SAMPLED = {"temperature": 0.9, "top_p": 0.95, "max_tokens": 40}


PROMPTS = ["The cat", "小猫看见", "a bird sees the tree " * 4, "x", "The cat sees", "飞鸟找到大树。" * 5]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
}


def test_each_stream_says_what_it_says_alone(speaking: Running, pair: tuple[Any, Any]) -> None:
    asked = [SAMPLED | {"prompt": prompt, "seed": seed} for seed in (1, 2) for prompt in PROMPTS]
    asked += [{"prompt": prompt, "temperature": 0, "max_tokens": 9 + 7 * k, "stop": ["e"]} for k, prompt in enumerate(PROMPTS)]
    bound = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    asked += [SAMPLED | {"prompt": prompt, "max_tokens": 90, "response_format": bound} for prompt in PROMPTS[:2]]

    def post(one: dict[str, Any]) -> str:
        for _ in range(1000):
            answer = speaking.post("/v1/completions", {"model": "text"} | one)
            if answer.status != 429:
                return str(answer.json["choices"][0]["text"])
            time.sleep(0.02)
        raise AssertionError(answer.body)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(post, asked))
    for one, text in zip(asked, found, strict=True):
        settings = {name: value for name, value in one.items() if name not in ("prompt", "response_format")}
        if "stop" in settings:
            settings["stop"] = tuple(settings["stop"])
        if "response_format" in one:
            settings["json_schema"] = SCHEMA
            assert set(json.loads(text)) == {"name", "old"}
        assert text == alone(pair, one["prompt"], **settings)


def test_a_known_beginning_is_not_read_again(speaking: Running) -> None:
    talk = [
        {"role": "system", "content": "Zwei: add two numbers, say their sum."},
        {"role": "user", "content": "1 plus 1?"},
    ]
    asked = {"model": "chat", "messages": talk, "temperature": 0, "max_tokens": 8}
    before = metric(speaking, "luban_reused_tokens_total")
    first, again = (speaking.post("/v1/chat/completions", asked).json for _ in range(2))
    assert again["choices"] == first["choices"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] < 25  # what opens a turn may be known of another test's talk
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == again["usage"]["prompt_tokens"] - 1
    talk[1] = {"role": "user", "content": "3 plus 4?"}
    other = speaking.post("/v1/chat/completions", asked).json
    assert 40 < other["usage"]["prompt_tokens_details"]["cached_tokens"] < other["usage"]["prompt_tokens"] - 5
    counted = sum(one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (first, again, other))
    assert metric(speaking, "luban_reused_tokens_total") - before == counted
    assert metric(speaking, "luban_prompt_tokens_total") >= counted


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("route", "given"), [("completions", {"prompt": "天地 " * 70}), ("chat/completions", {"messages": None})])
def test_a_prompt_that_is_too_long_is_told_as_clients_know_it(route: str, given: dict[str, Any], stream: bool, speaking: Running) -> None:
    name = "text" if route == "completions" else "chat"
    given = given if name == "text" else {"messages": [{"role": "user", "content": "1 plus 1? " * 20}]}
    answer = speaking.post(f"/v1/{route}", {"model": name, "stream": stream} | given)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["luban_code"], error["type"]) == (
        400,
        "context_length_exceeded",
        "L621",
        "invalid_request_error",
    )
    assert error["param"] == next(iter(given))
    assert "maximum context length" in error["message"]


def test_chances_of_each_token(speaking: Running, pair: tuple[Any, Any]) -> None:
    task, net = pair
    asked = {"model": "text", "prompt": "小猫看见", "max_tokens": 12, "temperature": 0.7, "seed": 4, "logprobs": 3}
    choice = speaking.post("/v1/completions", asked).json["choices"][0]
    found = choice["logprobs"]
    (prompt,) = task.whole_prompts(pl.DataFrame({"text": ["小猫看见"]}))
    answer = generate(net, task.tokenizer, [prompt], Generation(max_tokens=12, temperature=0.7, seed=4))[0]
    kept = [token for token in answer.tokens if token not in task.tokenizer.stops]
    with torch.inference_mode():
        logs = net(torch.tensor([[*prompt, *kept]])).log_softmax(-1)[0, len(prompt) - 1 :]
    assert found["token_logprobs"] == pytest.approx([float(logs[k, token]) for k, token in enumerate(kept)], abs=1e-4)
    for k, row in enumerate(found["top_logprobs"]):
        assert list(row.values()) == pytest.approx(logs[k].topk(3).values.tolist()[: len(row)], abs=1e-4)
    assert "".join(found["tokens"]) == choice["text"] or "bytes:" in "".join(found["tokens"])
    assert found["text_offset"][0] == 0
    body = speaking.post("/v1/completions", asked | {"stream": True}).body.decode().split("\n\n")
    parts = [json.loads(part[6:])["choices"][0] for part in body if part.startswith("data: {")]
    told = {name: [one for part in parts if part["logprobs"] for one in part["logprobs"][name]] for name in found}
    assert (told["tokens"], told["text_offset"]) == (found["tokens"], found["text_offset"])
    assert told["token_logprobs"] == pytest.approx(found["token_logprobs"], abs=1e-5)  # the prompt was read in other parts


def test_chances_of_a_chat(speaking: Running) -> None:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "1 加 1？"}], "max_tokens": 6, "logprobs": True, "top_logprobs": 2}
    choice = speaking.post("/v1/chat/completions", asked).json["choices"][0]
    content = choice["logprobs"]["content"]
    assert bytes(byte for one in content for byte in one["bytes"]).decode("utf-8", "replace") == choice["message"]["content"]
    assert all(len(one["top_logprobs"]) == 2 and one["logprob"] <= one["top_logprobs"][0]["logprob"] for one in content)
    plain = speaking.post("/v1/chat/completions", {**asked, "logprobs": True, "top_logprobs": None}).json["choices"][0]
    assert [one["top_logprobs"] for one in plain["logprobs"]["content"]] == [[]] * len(content)
    assert speaking.post("/v1/chat/completions", {**asked, "logprobs": False, "top_logprobs": None}).json["choices"][0]["logprobs"] is None


def test_who_hangs_up_leaves_the_batch(speaking: Running) -> None:
    """Not streaming: nothing is written while it is said, so only listening notices."""
    speaker = speaking.service.shelf.find("text").speaker
    hold(speaker, True)
    connection = http.client.HTTPConnection("127.0.0.1", speaking.port)
    asked = {"model": "text", "prompt": "The", "max_tokens": 150, "temperature": 0}
    connection.request("POST", "/v1/completions", json.dumps(asked), {"Content-Type": "application/json"})
    wait_for(lambda: speaker.count == 1)
    connection.close()
    wait_for(lambda: speaker.count == 0)
    hold(speaker, False)
    wait_for(lambda: not speaker.parts)


def wait_for(true: Any) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


GATES: dict[int, threading.Event] = {}


def hold(speaker: Speaker, held: bool) -> None:
    """Keep the speaker's thread from its next steps, or let it go on."""
    gate = GATES.setdefault(id(speaker), threading.Event())
    gate.clear() if held else gate.set()
    if "step" not in vars(speaker):
        plain = speaker.step
        speaker.step = lambda key: (gate.wait(20), plain(key))[1]  # type: ignore[method-assign,assignment]


def model_of(pair: tuple[Any, Any]) -> Any:
    return SimpleNamespace(task=pair[0], net=pair[1])


def wish(prompt: str, **settings: Any) -> Wish:
    return Wish(pl.DataFrame({"text": [prompt]}), settings)


def run(limits: Limits, script: Any, now: Any = time.monotonic) -> Any:
    speaker = Speaker(limits, name="test", now=now)
    try:
        return asyncio.run(script(speaker))
    finally:
        speaker.stop()
        assert not speaker.thread.is_alive()


async def rest(saying: Any) -> tuple[str, Piece]:
    texts, piece = [], Piece("")
    while not piece.finish:
        _, piece = await saying.heard()
        texts.append(piece.text)
    return "".join(texts), piece


def test_the_line_is_bounded_and_newcomers_join_between_steps(pair: tuple[Any, Any]) -> None:
    async def script(speaker: Speaker) -> Any:
        model = model_of(pair)
        long = speaker.begin(model, wish("The cat", max_tokens=150, temperature=0))
        await long.heard()
        others = [speaker.begin(model, wish(f"The {k}", max_tokens=3, temperature=0)) for k in range(3)]
        with pytest.raises(RequestError, match="L612"):
            speaker.begin(model, wish("too many"))
        found = [await rest(one) for one in others]
        under_way = long.pieces.qsize()
        _, last = await rest(long)
        for one in (long, *others):
            speaker.end(one)
        return found, under_way, last, speaker.count

    found, under_way, last, count = run(dataclasses.replace(LIMITS, streams=2, waiting_streams=2), script)
    assert [text for text, _ in found] == [alone(pair, f"The {k}", max_tokens=3, temperature=0) for k in range(3)]
    assert under_way < 140  # they had ended before the long one had
    assert last.finish in ("length", "stop")
    assert count == 0


class Free(Costs):
    """As if rows cost nothing: all is guessed that can be."""

    def of(self, rows: int) -> float:
        return 1.0


def test_guessed_tokens_come_in_fewer_pieces_with_all_their_words(pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "Measured", Free)

    async def script(speaker: Speaker) -> list[Piece]:
        asked = dataclasses.replace(wish("The cat sees the cat", max_tokens=120, temperature=0), likeliest=2)
        saying, found = speaker.begin(model_of(pair), asked), []
        while not found or not found[-1].finish:
            found.append((await saying.heard())[1])
        speaker.end(saying)
        return found

    plain, guessed = (run(dataclasses.replace(LIMITS, guesses=guesses), script) for guesses in (0, 15))
    assert len(guessed) < 0.75 * len(plain)
    assert "".join(one.text for one in guessed) == "".join(one.text for one in plain)
    assert sum(one.tokens for one in guessed) == sum(one.tokens for one in plain)
    words, wanted = ([word for one in pieces for word in one.words] for pieces in (guessed, plain))
    assert [(word.data, [data for data, _ in word.others]) for word in words] == [
        (word.data, [data for data, _ in word.others]) for word in wanted
    ]
    assert [word.log for word in words] == pytest.approx([word.log for word in wanted], abs=1e-4)


def test_whose_time_is_over_leaves_the_batch(pair: tuple[Any, Any]) -> None:
    clock = [0.0]

    async def script(speaker: Speaker) -> Any:
        model = model_of(pair)
        hold(speaker, True)
        first = speaker.begin(model, wish("The cat", max_tokens=150, temperature=0))
        clock[0] = LIMITS.answer_s + 1  # nothing was said in time
        hold(speaker, False)
        with pytest.raises(RequestError, match="L615"):
            await rest(first)
        second = speaker.begin(model, wish("The cat", max_tokens=150, temperature=0))
        await second.heard()
        hold(speaker, True)
        clock[0] += LIMITS.answer_s + 1  # the first piece came in time, and the rest may take longer
        hold(speaker, False)
        await second.heard()
        hold(speaker, True)
        clock[0] += LIMITS.speak_s
        hold(speaker, False)
        with pytest.raises(RequestError, match="L615"):
            await rest(second)
        return len(speaker.parts)

    assert run(LIMITS, script, now=lambda: clock[0]) == 0


def test_a_newer_version_answers_who_comes_and_the_old_one_ends_what_it_began(pair: tuple[Any, Any]) -> None:
    other = made(LanguageModeling, "text")
    with torch.no_grad():
        for parameter in other[1].parameters():
            parameter.mul_(0.7)
    asked = {"max_tokens": 120, "temperature": 0}

    async def script(speaker: Speaker) -> Any:
        old, new = model_of(pair), model_of(other)
        first = speaker.begin(old, wish("The cat", **asked))
        await first.heard()
        second = speaker.begin(new, wish("The cat", **asked))
        await second.heard()
        texts = [await rest(first), await rest(second)]
        (third,) = [speaker.begin(new, wish("x", **asked))]
        await rest(third)
        return [last.finish for _, last in texts], first, second, list(speaker.desks.values())

    finishes, *_, desks = run(LIMITS, script)
    assert all(finishes)
    assert [model.net for model, _ in desks] == [other[1]]  # the old one went with its last answer


def test_a_failure_is_told_to_those_it_concerns_and_the_next_one_is_answered(pair: tuple[Any, Any]) -> None:
    class Broken(torch.nn.Module):
        context, calls = 99, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(pair[1], name)

        def hidden(self, *given: Any, **named: Any) -> Any:
            Broken.calls += 1
            if Broken.calls == 3:
                raise RuntimeError("secret")
            return pair[1].hidden(*given, **named)

    async def script(speaker: Speaker) -> Any:
        model = SimpleNamespace(task=pair[0], net=Broken())
        with pytest.raises(RequestError) as failed:
            await rest(speaker.begin(model, wish("The cat", temperature=0)))
        with pytest.raises(RequestError) as wrong:
            await rest(speaker.begin(model, wish("The cat", temperature=-1)))
        return failed.value.code, wrong.value.code, (await rest(speaker.begin(model, wish("The cat", max_tokens=5, temperature=0))))[0]

    assert run(LIMITS, script) == ("L619", "L618", alone(pair, "The cat", max_tokens=5, temperature=0))


def test_the_official_client_reads_chances_schemas_and_lengths(speaking: Running) -> None:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{speaking.port}/v1", api_key="none", max_retries=0) as client:
        talk = [{"role": "user", "content": "1 plus 1?"}]
        answer = client.chat.completions.create(model="chat", messages=talk, max_tokens=5, logprobs=True, top_logprobs=2)
        content = answer.choices[0].logprobs.content
        assert len(content[0].top_logprobs) == 2
        assert answer.usage.prompt_tokens_details.cached_tokens >= 0
        chunks = list(client.chat.completions.create(model="chat", messages=talk, max_tokens=5, logprobs=True, top_logprobs=2, stream=True))
        told = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
        assert [one.token for one in told] == [one.token for one in content]
        text = client.completions.create(model="text", prompt="The", max_tokens=5, logprobs=2).choices[0]
        assert len(text.logprobs.tokens) == len(text.logprobs.token_logprobs) == len(text.logprobs.text_offset)
        bound = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
        found = client.chat.completions.create(model="chat", messages=talk, max_tokens=90, response_format=bound)
        assert set(json.loads(found.choices[0].message.content)) == {"name", "old"}
        with pytest.raises(openai.BadRequestError) as long:
            client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "1 plus 1? " * 30}])
        assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
