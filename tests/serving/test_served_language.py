"""Language models that were trained here are served: from a recipe over plain text to a completion, and every task's bundle to an answer."""

from __future__ import annotations

import json

import polars as pl
import pytest
from running import ANYWHERE, Running, running

import luban
from luban.serving.app import Service
from luban.tasks.chat import Chat
from luban.tasks.language_modeling import LanguageModeling
from luban.tasks.recommendation import Recommendation

GPT = {"kind": "gpt", "width": 28, "layers": 1, "heads": 2, "context": 32}
BRIEF = {"steps": 2, "precision": "float32"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Running:  # type: ignore[misc]
    """A language model, a chat and a recommender."""
    folder = tmp_path_factory.mktemp("language")
    tales = LanguageModeling.demo(None, 60, 0)["text"].to_list()  # type: ignore[arg-type]
    (folder / "tales.txt").write_text("\n\n".join([*tales, " ".join(tales)]), encoding="utf-8")  # the last is longer than the context
    Chat.demo(None, 60, 0).write_csv(folder / "talks.csv")  # type: ignore[arg-type]
    names = {"user": "user", "item": "item", "time": "time"}
    Recommendation(Recommendation.Config(**names)).demo(900, 0).write_csv(folder / "log.csv")
    rest = {"training": BRIEF, "evaluation": {"draws": 20}}
    recipes = {
        "tales": {"task": "language-modeling", "data": str(folder / "tales.txt"), "model": GPT} | rest,
        "talks": {
            "task": "chat",
            "data": str(folder / "talks.csv"),
            "model": GPT | {"context": 151},
            "target": "response",
            "inputs": {"prompt": "text"},
        }
        | rest,
        "log": {"task": {"kind": "recommendation"} | names, "data": str(folder / "log.csv"), "model": "ease"} | rest,
    }
    made = [(name, luban.train(recipe, folder=folder / name).bundle) for name, recipe in recipes.items()]
    with running(Service(made, place=ANYWHERE)) as found:
        yield found


def test_a_trained_language_model_completes(served: Running) -> None:
    found = served.ask("POST", "/v1/completions", {"model": "tales", "prompt": "The", "max_tokens": 5})
    assert found.status == 200
    assert 0 < found.json["usage"]["completion_tokens"] <= 5
    assert found.json["choices"][0]["finish_reason"] in ("stop", "length")


def test_it_completes_piece_by_piece_to_the_same_text(served: Running) -> None:
    asked = {"model": "tales", "prompt": "The", "max_tokens": 5, "temperature": 0}
    whole = served.ask("POST", "/v1/completions", asked).json["choices"][0]["text"]
    lines = served.ask("POST", "/v1/completions", asked | {"stream": True}).body.decode().split("\n\n")
    pieces = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(choice["text"] for piece in pieces for choice in piece["choices"]) == whole
    assert "data: [DONE]" in lines


def test_a_prompt_over_the_context_is_refused_by_its_code(served: Running) -> None:
    found = served.ask("POST", "/v1/completions", {"model": "tales", "prompt": "the old house " * 40, "max_tokens": 5})
    assert (found.status, found.code) == (400, "context_length_exceeded")  # as clients know it
    assert (found.json["error"]["luban_code"], found.json["error"]["param"]) == ("L621", "prompt")


def test_a_trained_chat_answers_conversations_whatever_its_column_is_called(served: Running) -> None:
    talk = [{"role": "user", "content": "1 plus 1?"}, {"role": "assistant", "content": "2."}, {"role": "user", "content": "2 加 2？"}]
    found = served.ask("POST", "/v1/chat/completions", {"model": "talks", "messages": talk, "max_tokens": 5})
    assert found.status == 200, found.body
    assert found.json["usage"]["prompt_tokens"] > 20


def test_a_recommender_answers_with_items(served: Running) -> None:
    user = pl.read_csv(served.service.shelf.models["log"].folder.parent.parent / "log.csv")["user"].drop_nulls()[0]
    found = served.ask("POST", "/v1/predict/log", {"rows": [{"user": user}]})
    assert found.status == 200, found.body
    (answer,) = found.json["answers"]
    assert len(answer[0]["items"] if isinstance(answer, list) else answer["items"]) > 0
    nobody = served.ask("POST", "/v1/predict/log", {"rows": [{}]})
    assert (nobody.status, nobody.code) == (422, "L605")
    assert "L286" in nobody.body.decode()
