"""Conversations: only answers are learnt, nothing in a text becomes a mark, and preferences follow their paper."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from decoder_examples import folder_of
from torch.nn import functional as F

import luban
from luban.data.prepare import prepare
from luban.draw import Draw
from luban.errors import DataError, RecipeError
from luban.language.conversations import Scribe, turns_of
from luban.language.template import Template, of_jinja
from luban.layers import lora
from luban.recipe import parse
from luban.tasks.chat import Chat, likely
from luban.tokenizing import tokenizer

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TURNS = [{"role": "user", "content": "Hi <|im_end|>"}, {"role": "assistant", "content": "你好"}, {"role": "user", "content": "x"}]


def scribe(given: bool, tmp_path: Path) -> Scribe:
    """With a vocabulary of characters, or a checkpoint's."""
    if not given:
        return Scribe(tokenizer.learn(["Hi there <|im_start|>user 你好你好"], "characters", 512), Template())
    from luban.language import decoders

    spec, _ = decoders.adopt({"kind": "gpt", "pretrained": str(folder_of(tmp_path, CHATML))})
    own = tokenizer.of_spec(spec)
    assert own.template == Template(system="You help.")
    assert tokenizer.of_spec(json.loads(json.dumps(own.as_spec()))) == own
    return Scribe(own, own.template)


@pytest.mark.parametrize("given", [False, True])
def test_only_answers_and_their_stops_are_learnt(given: bool, tmp_path: Path) -> None:
    made = scribe(given, tmp_path)
    tokens, learnt = made.whole(TURNS)
    said = [token for token, flag in zip(tokens, learnt, strict=True) if flag]
    assert said[-1] == made.stop
    assert made.tokenizer.decode(said[:-1]) == "你好"
    assert tokens.count(made.stop) == (4 if given else 3), "a mark in a text is text"
    prompt = made.prompt([*TURNS, {"role": "assistant", "content": "left out"}])
    assert prompt[: len(tokens)] == tokens
    assert "left out" not in made.tokenizer.decode(prompt)


def test_a_template_in_jinja_is_understood_or_left() -> None:
    found = of_jinja(CHATML)
    assert found == Template(system="You help.")
    assert of_jinja("{{ messages[0]['content'] | upper }}") is None
    assert (
        of_jinja(
            "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
        )
        is None
    )
    with pytest.raises(ValueError, match="template"):
        of_jinja("{% for %}")
    with suppress(ValueError):  # nothing of Python can be reached
        assert of_jinja("{{ ''.__class__.__mro__[1].__subclasses__() }}") is None


def test_a_template_without_a_stop_or_a_role_is_a_named_error() -> None:
    for wrong in ({"stop": ""}, {"closing": "\n", "stop": "<|im_end|>"}, {"opening": "> "}):
        with pytest.raises(RecipeError) as caught:
            parse({"task": {"kind": "chat", "template": wrong}, "data": "a.jsonl"})
        assert caught.value.code == "L105"


def test_a_stop_that_is_no_token_is_a_named_error(tmp_path: Path) -> None:
    template = Template(opening="[{role}] ", closing="[/end]\n", stop="[/end]")
    task = Chat(
        Chat.Config(inputs={"prompt": {"kind": "text"}}, template=template, model={"kind": "gpt", "pretrained": str(folder_of(tmp_path))})
    )
    with pytest.raises(RecipeError, match="L277"):
        task.fit(pl.DataFrame({"prompt": ["a"], "response": ["b"]}))


def test_cells_of_every_form_are_the_same_conversation() -> None:
    turns = [{"role": "user", "content": "Hi"}]
    assert turns_of("Hi") == turns_of(turns) == turns_of(json.dumps(turns)) == turns
    assert turns_of("[not json") == [{"role": "user", "content": "[not json"}]
    for wrong in (None, "", [], 3, [1]):
        with pytest.raises(DataError, match="L275"):
            turns_of(wrong)


def test_rows_at_fault_are_listed_with_their_reason(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"{n}!"}]} for n in range(40)
    ]
    rows[3]["messages"][0]["role"] = "wizard"
    rows[7]["messages"][1]["content"] = None
    rows[15]["messages"] = []
    rows[11]["messages"][0]["content"] = "long " * 400
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = parse(
        {
            "task": {"kind": "chat", "tokenizer": "characters"},
            "data": "chat.jsonl",
            "model": {"kind": "gpt", "size": "tiny"},
            "reading": {"reject_limit": 0.2},
        },
        base=tmp_path,
    )
    made = prepare(recipe, tmp_path / "store")
    reasons = {reject["line"]: reject["reason"] for reject in made.facts["rejects"]}
    assert set(reasons) == {4, 8, 12, 16}
    assert "L274" in reasons[4]
    assert "wizard" in reasons[4]
    assert "L275" in reasons[8]
    assert "context" in reasons[12]
    with pytest.raises(DataError, match="L215"):
        prepare(parse({"task": "chat", "data": "chat.jsonl", "model": {"kind": "gpt", "size": "tiny"}}, base=tmp_path), tmp_path / "store2")


PAIRS = pl.DataFrame({"prompt": ["1+1?", "2+2?", "3+0?"], "chosen": ["2", "4", "3, and that is all"], "rejected": ["twenty", "5", "no"]})


def preferring(tmp_path: Path) -> Chat:
    """Fitted on pairs."""
    model = {"kind": "gpt", "pretrained": str(folder_of(tmp_path, CHATML)), "adapt": "lora", "lora_rank": 3}
    task = Chat(Chat.Config(inputs={"prompt": {"kind": "text"}}, target="chosen", worse="rejected", beta=0.3, model=model))
    return Chat(task.config, json.loads(json.dumps(task.fit(PAIRS))))


def test_preferences_are_those_of_the_paper(tmp_path: Path) -> None:
    task = preferring(tmp_path)
    torch.manual_seed(0)
    net = task.build()
    task.start(net)
    rows = task.encode(PAIRS)
    batch = task.collate(task.arrange(rows, np.ones(3, bool)), Draw(0, 0, np.arange(3), training=True))
    first = next(task.losses(net, batch))
    torch.testing.assert_close(first.value.detach(), torch.tensor(2.0).log().double(), rtol=1e-6, atol=0)
    with torch.no_grad():
        for _, layer in lora.adapters(net):
            layer.lora_b.normal_(std=0.3)
    loss = next(task.losses(net, batch))
    logs = []
    for one in (net, None):
        if one is None:
            with lora.without(net), torch.no_grad():
                logs.append([likely(net, part) for part in (batch.better, batch.worse)])
        else:
            logs.append([likely(one, part) for part in (batch.better, batch.worse)])
    (better, worse), (better_before, worse_before) = logs
    wanted = -F.logsigmoid(0.3 * ((better - worse) - (better_before - worse_before))).mean()
    torch.testing.assert_close(loss.value, wanted)
    loss.value.backward()
    assert all((p.grad is not None) == ("lora" in name) for name, p in net.named_parameters())
    assert loss.count == 3


def test_preferences_ask_for_adapters() -> None:
    with pytest.raises(RecipeError, match="L278"):
        parse({"task": {"kind": "chat", "worse": "rejected"}, "data": "a.jsonl", "target": "chosen"})


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_checkpoint_is_tuned_bundled_and_answers_without_its_folder(adapt: str, tmp_path: Path) -> None:
    place = folder_of(tmp_path, CHATML)
    rows = [{"prompt": f"say {n}", "response": f"{n}!"} for n in range(30)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "task": {"kind": "chat", "generation": {"max_tokens": 5, "temperature": 0}},
        "data": str(tmp_path / "chat.jsonl"),
        "model": {"kind": "gpt", "pretrained": str(place), "adapt": adapt},
        "training": {"steps": 3, "batch_size": 8, "validations": 1, "precision": "float32", "threads": 1},
        "evaluation": {"draws": 10},
    }
    run = luban.train(recipe, folder=tmp_path / "run")
    assert run.report["data"]["inputs"] == {"prompt": "text"}
    for path in place.iterdir():
        path.unlink()
    answers = luban.load(run.bundle).predict([{"prompt": "say 3"}])
    assert answers[0]["tokens"] <= 5
    assert "<|im_" not in answers[0]["text"]
