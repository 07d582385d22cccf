"""Hidden tokens and text vectors, from a recipe to a bundle that answers; what does not fit is refused by its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from toys import checkpoint

import luban
from luban.checkpoints import folder
from luban.checkpoints.exporting import export
from luban.errors import DataError, RecipeError
from luban.layers.attention import recorded
from luban.recipe import parse
from luban.run import Run
from luban.tasks.masked_language_modeling import MaskedLanguageModeling, hidden
from luban.tasks.text_embedding import TextEmbedding

BERT = {"kind": "bert", "size": "tiny", "width": 22, "layers": 1, "heads": 2, "feed": 31}
SHORT = {"batch_size": 32, "learning_rate": 0.01, "precision": "float32", "schedule": "constant"}


def recipe(task: Any, place: Path, **changes: Any) -> dict[str, Any]:
    return {
        "task": task, "data": str(place / "data.csv"), "model": BERT, "training": SHORT | {"steps": 150}, "evaluation": {"draws": 20}, **changes
    }  # fmt: skip


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("masked")
    MaskedLanguageModeling(MaskedLanguageModeling.Config()).demo(300, 1).write_csv(place / "data.csv")
    inputs = {"text": {"kind": "text", "vocabulary": 300}}
    return luban.train(
        recipe({"kind": "fill-mask", "share": 0.3}, place, inputs=inputs, training=SHORT | {"steps": 300}), folder=place / "run"
    )


def test_a_mask_is_filled_by_what_goes_there(masked: Run) -> None:
    assert masked.scores["masked_accuracy"]["value"] > 0.6
    model = luban.load(masked.bundle)
    answers = model.predict([{"text": "小猫看见老[MASK]。"}, {"text": "no mask here"}, {"text": "黄狗喜欢[MASK]人。"}])
    assert answers[0]["text"] == "小猫看见老鼠。"
    assert answers[0]["masks"][0][0]["token"] == "鼠"
    assert len(answers[0]["masks"][0]) == 5
    assert answers[0]["masks"][0][0]["chance"] > 0.5
    assert answers[1]["masks"] == []
    assert [guess[0]["token"] for guess in answers[2]["masks"]] == ["主"]


def test_what_it_learnt_goes_on_in_another_task(masked: Run, tmp_path: Path) -> None:
    model = luban.load(masked.bundle)
    export(tmp_path / "out", model.net.encoder, model.task.state["inputs"]["text"], head=model.net.head)  # type: ignore[arg-type]
    _, weights = folder.read(tmp_path / "out")
    assert "cls.predictions.transform.dense.weight" in weights
    checkpoint.reviews(60).write_csv(tmp_path / "data.csv")
    inputs, training = {"review": "text"}, SHORT | {"steps": 2}
    run = luban.train(
        recipe("classification", tmp_path, target="label", inputs=inputs, training=training, evaluation={"baselines": False, "draws": 20})
        | {"model": {"kind": "bert", "pretrained": str(tmp_path / "out"), "adapt": "full"}},
        folder=tmp_path / "run",
    )
    assert run.scores["accuracy"]["value"] >= 0
    again = parse(recipe("fill-mask", tmp_path, inputs={"text": "text"}) | {"model": {"kind": "bert", "pretrained": str(tmp_path / "out")}})
    task = type(again.make_task())(again.make_task().config, again.make_task().fit(pl.DataFrame({"text": ["the cat"]})))
    net = task.build()
    task.start(net)
    assert torch.equal(net.head.dense.weight, model.net.head.dense.weight)  # type: ignore[union-attr]


def test_of_the_tokens_asked_for_four_fifths_are_hidden_and_a_tenth_are_others() -> None:
    task = MaskedLanguageModeling(MaskedLanguageModeling.Config(inputs={"text": {"kind": "text", "vocabulary": 300}}))
    table = pl.DataFrame({"text": [f"the cat sees a small mouse {i} and the dog likes its old master" * 3 for i in range(800)]})
    task = type(task)(task.config, task.fit(table))
    from luban.draw import Draw

    texts, pieces = task.encode(table)["text"], task.pieces
    shown, goal = hidden(texts, pieces, 0.15, Draw(0, 0, np.arange(800), training=True))
    asked = goal.values > 0
    inner = ~np.isin(texts.flat(), (pieces.opens, pieces.closes))
    assert not asked[~inner].any()
    assert asked.sum() / inner.sum() == pytest.approx(0.15, abs=0.01)
    assert (shown.values[asked] == pieces.mask).mean() == pytest.approx(0.8, abs=0.02)
    assert (shown.values[asked] == texts.flat()[asked]).mean() == pytest.approx(0.1, abs=0.02)
    assert (shown.values[~asked] == texts.flat()[~asked]).all()
    assert all(goal[row].any() for row in range(800))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("embedded")
    TextEmbedding(TextEmbedding.Config()).demo(400, 1).write_csv(place / "data.csv")
    inputs = {"question": {"kind": "text", "vocabulary": 300}, "answer": {"kind": "text", "vocabulary": 300}}
    return luban.train(
        recipe("text-embedding", place, inputs=inputs, training=SHORT | {"steps": 200, "learning_rate": 0.003}), folder=place / "run"
    )


def test_questions_find_their_answers(embedded: Run) -> None:
    assert embedded.scores["retrieval_at_1"]["value"] > 0.3
    model = luban.load(embedded.bundle)
    both = model.predict(
        [{"question": "一二三是多少", "answer": "one two three"}, {"question": "一二三是多少", "answer": "nine nine zero"}]
    )
    assert both[0]["similarity"] > both[1]["similarity"]
    alone = model.predict([{"question": "一二三是多少"}])[0]["vector"]
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(alone, both[0]["vector_1"], atol=1e-6)
    np.testing.assert_allclose(model.predict([{"answer": "one two three"}])[0]["vector"], both[0]["vector_2"], atol=1e-6)
    with pytest.raises(DataError) as caught:
        model.predict([{"text": "一二三"}])
    assert caught.value.code == "L201"


def test_any_transformer_shows_what_it_attends_to(masked: Run) -> None:
    model = luban.load(masked.bundle)
    with recorded(model.net) as maps:
        model.predict([{"text": "小猫看见老[MASK]。"}])
    assert maps[0].shape == (1, 2, 9, 9), "six characters, a mask, and what opens and closes"


@pytest.mark.parametrize(
    ("task", "change", "code"),
    [
        ("fill-mask", {"inputs": {"a": "number"}}, "L295"),
        ("fill-mask", {"inputs": {"a": {"kind": "text", "tokenizer": "bytes"}}}, "L295"),
        ("fill-mask", {"model": "lstm"}, "L109"),
        ("fill-mask", {"model": {"kind": "bert", "pretrained": "x", "adapt": "frozen"}}, "L129"),
        ("text-embedding", {"inputs": {"a": "text"}}, "L296"),
        ("text-embedding", {"inputs": {"a": "text", "b": "number"}}, "L296"),
        ("text-embedding", {"inputs": {"a": "text", "b": "text"}, "target": "c"}, "L296"),
        ("text-embedding", {"inputs": {"a": "text", "b": {"kind": "text", "vocabulary": 300}}}, "L296"),
        ("text-embedding", {"inputs": {"a": "text"}, "target": "a"}, "L112"),
        ("text-embedding", {"model": "convnet"}, "L109"),
    ],
)
def test_what_does_not_fit_is_refused(task: str, change: dict[str, Any], code: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse({"task": task, "data": "a.csv", **change})
    assert caught.value.code == code


def test_labels_alone_are_refused_where_there_is_one(tmp_path: Path) -> None:
    pl.DataFrame({"text": [f"row {i}" for i in range(40)], "label": ["a"] * 40}).write_csv(tmp_path / "data.csv")
    with pytest.raises(DataError) as caught:
        luban.train(recipe("text-embedding", tmp_path, inputs={"text": "text"}, target="label"), folder=tmp_path / "run")
    assert caught.value.code == "L230"
