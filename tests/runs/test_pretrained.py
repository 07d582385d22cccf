"""Pretrained encoders, from a checkpoint folder to a bundle that needs it no more; what is wrong with a folder or its keys is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from toys import checkpoint

import luban
from luban.checkpoints import folder
from luban.errors import BundleError, LubanError, RecipeError
from luban.kinds.text import Text
from luban.layers import lora
from luban.recipe import parse
from luban.training.loop import fresh

FIRST_ROWS = [{"review": text} for text in ("很好 推荐", "太差 后悔 后悔", "", "unheard of")]


def recipe(place: Path, **model: Any) -> dict[str, Any]:
    """Reviews read by the checkpoint beside them."""
    if not (place / "tiny-bert").exists():
        checkpoint.write(place / "tiny-bert")
        checkpoint.reviews(90).write_csv(place / "reviews.csv")
    return {
        "task": "classification",
        "data": str(place / "reviews.csv"),
        "target": "label",
        "inputs": {"review": "text"},
        "model": {"kind": "bert", "pretrained": str(place / "tiny-bert")} | model,
        "training": {"steps": 6, "batch_size": 16, "precision": "float32"},
        "evaluation": {"draws": 20, "baselines": False},
    }


@pytest.mark.parametrize("adapt", [None, "frozen", "contrastive", "full", "lora"])
def test_the_bundle_needs_the_folder_no_more(adapt: str | None, tmp_path: Path) -> None:
    run = luban.train(recipe(tmp_path, **({"adapt": adapt} if adapt else {})), folder=tmp_path / "run")
    before = luban.load(run.bundle).predict(FIRST_ROWS)
    shutil.rmtree(tmp_path / "tiny-bert")
    assert luban.load(run.bundle).predict(FIRST_ROWS) == before
    for path in (path for path in run.bundle.iterdir() if path.name != "report.json"):  # which keeps the recipe as it was given
        assert str(tmp_path).encode() not in path.read_bytes(), f"{path.name} holds a path of this machine"
    assert json.loads((run.bundle / "luban.json").read_text())["recipe"]["model"]["pretrained"] == "tiny-bert"
    assert run.scores["accuracy"]["value"] > 0.5 or adapt in ("full", "lora")


def task(place: Path, **model: Any) -> Any:
    """Fitted on all rows."""
    made = parse(recipe(place, **model)).make_task()
    return type(made)(made.config, made.fit(checkpoint.reviews(90)))


@pytest.mark.parametrize("adapt", ["frozen", "full", "lora"])
def test_a_fresh_net_has_the_weights_of_the_folder(adapt: str, tmp_path: Path) -> None:
    encoder = fresh(task(tmp_path, adapt=adapt)).encoders[0]
    given = folder.read_weights(tmp_path / "tiny-bert")
    assert torch.equal(encoder.words.weight, given["embeddings.word_embeddings.weight"])
    assert torch.equal(encoder.blocks[1].attention.query.weight, given["encoder.layer.1.attention.self.query.weight"])
    learning = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert learning == {"frozen": set(), "lora": set(lora.added(encoder)), "full": set(dict(encoder.named_parameters()))}[adapt]


def test_frozen_layers_do_not_learn(tmp_path: Path) -> None:
    encoder = fresh(task(tmp_path, adapt="full", freeze=1)).encoders[0]
    still = {name.split(".")[0] for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert still == {"words", "places", "segments", "norm", "blocks"}
    assert all(parameter.requires_grad for parameter in encoder.blocks[1].parameters())


def test_a_folder_seen_from_the_recipe(tmp_path: Path) -> None:
    whole = recipe(tmp_path, adapt="frozen")
    whole["model"]["pretrained"], whole["data"] = "tiny-bert", "reviews.csv"
    assert parse(whole, base=tmp_path).make_task().config.model["pretrained"] == str(tmp_path / "tiny-bert")
    file = tmp_path / "mine.toml"
    lines = [
        'task = "classification"',
        'data = "reviews.csv"',
        'target = "label"',
        "[inputs]",
        'review = "text"',
        "[model]",
        'kind = "bert"',
    ]
    file.write_text("\n".join([*lines, 'pretrained = "tiny-bert"', 'adapt = "frozen"', "[evaluation]", "baselines = false", "draws = 20"]))
    run = luban.train(file, folder=tmp_path / "deep" / "run")
    again = luban.train(run.folder, folder=tmp_path / "again")  # the completed recipe, seen from its own folder
    assert again.scores == run.scores


def test_another_tokenizer_prepares_the_data_anew(tmp_path: Path) -> None:
    first = luban.train(recipe(tmp_path, adapt="frozen"), folder=tmp_path / "runs" / "one")
    config, weights = folder.read(tmp_path / "tiny-bert")
    files = folder.read_tokenizer(tmp_path / "tiny-bert")
    values = json.loads(files["tokenizer.json"])
    values["normalizer"]["lowercase"] = False
    copied = {name: tensor.clone() for name, tensor in weights.items()}
    del weights
    folder.write(tmp_path / "tiny-bert", config, copied, files | {"tokenizer.json": json.dumps(values).encode()})
    second = luban.train(recipe(tmp_path, adapt="frozen"), folder=tmp_path / "runs" / "two")
    kept = [json.loads((run.bundle / "tokenizers.json").read_text())["review"]["lowercase"] for run in (first, second)]
    assert kept == [True, False]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ({"pretrained": None, "adapt": "lora"}, "L128"),
        ({"pretrained": ""}, "L128"),
        ({"kind": "transformer"}, "L109"),
        ({"adapt": "full", "lora_rank": 4}, "L128"),
        ({"adapt": "lora", "freeze": 1}, "L128"),
        ({"adapt": "some"}, "L105"),
        ({"adapt": "frozen", "head": [3]}, "L129"),
        ({"width": 31}, "L129"),
        ({"lora_rank": 0, "adapt": "lora"}, "L105"),
    ],
)
def test_keys_that_do_not_fit_are_refused_before_any_data_is_read(model: dict[str, Any], code: str, tmp_path: Path) -> None:
    whole = recipe(tmp_path)
    whole["model"] = {key: value for key, value in (whole["model"] | model).items() if value is not None}
    with pytest.raises(RecipeError) as caught:
        parse(whole)
    assert caught.value.code == code


def test_more_frozen_layers_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        fresh(task(tmp_path, adapt="full", freeze=3))
    assert caught.value.code == "L128"


def damaged(place: Path, how: str) -> None:
    """The folder after a mishap."""
    with checkpoint.changing(place) as (config, weights, files):
        change(how, config, weights, files)
    if how == "pickled":
        checkpoint.pickle(place)


def change(how: str, config: dict[str, Any], weights: dict[str, torch.Tensor], files: dict[str, bytes]) -> None:
    """What the mishap does to what the folder holds."""
    if how == "lacks a tensor":
        weights.pop("encoder.layer.1.output.dense.bias")
    elif how == "has one more":
        weights["encoder.layer.2.output.dense.bias"] = torch.zeros(22)
    elif how == "another shape":
        weights["encoder.layer.1.output.dense.bias"] = torch.zeros(23)
    elif how == "small table":
        config["vocab_size"] = 7
    elif how == "another family":
        config["model_type"] = "llama"
    elif how == "no tokenizer":
        files.clear()
    elif how == "not finite":
        weights["pooler.dense.weight"] = torch.zeros(22, 22)
        weights["embeddings.LayerNorm.bias"] = torch.full((22,), torch.nan)


DAMAGE = {
    "lacks a tensor": "L435", "has one more": "L435", "another shape": "L436", "small table": "L441", "another family": "L437",
    "no tokenizer": "L442", "not finite": "L440", "pickled": "L433",
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_a_folder_that_does_not_fit_is_refused_by_its_code(how: str, tmp_path: Path) -> None:
    recipe(tmp_path)
    damaged(tmp_path / "tiny-bert", how)
    with pytest.raises(BundleError) as caught:
        fresh(task(tmp_path))
    assert caught.value.code == DAMAGE[how]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LubanError) as caught:
        luban.train(recipe(tmp_path, pretrained=str(tmp_path / "tiny-bart")), folder=tmp_path / "run")
    assert caught.value.code == "L430"


def test_two_texts_share_the_places(tmp_path: Path) -> None:
    recipe(tmp_path)
    table = checkpoint.reviews(30).with_columns(title="review")
    made = parse(recipe(tmp_path) | {"inputs": {"title": "text", "review": "text"}}).make_task()
    state = made.fit(table)
    assert [state["inputs"][name]["max_length"] for name in ("title", "review")] == [18, 18]
    Text.Fitted(**{key: value for key, value in state["inputs"]["title"].items() if key != "kind"})
    assert len(fresh(type(made)(made.config, state)).encoders) == 1


def test_beside_other_inputs_it_is_trained_as_a_whole(tmp_path: Path) -> None:
    whole = recipe(tmp_path, encoders={"number": {"kind": "mlp", "hidden": [3]}}, head=[5])
    table = checkpoint.reviews(90).with_columns(price=pl.arange(90).cast(pl.Float64))
    table.write_csv(tmp_path / "reviews.csv")
    run = luban.train(whole | {"inputs": {"review": "text", "price": "number"}}, folder=tmp_path / "run")
    model = luban.load(run.bundle)
    assert [type(encoder).__name__ for encoder in model.net.encoders] == ["Bert", "MLP"]  # type: ignore[union-attr]
    assert any(parameter.requires_grad for parameter in model.net.encoders[0].parameters())  # type: ignore[index]


@pytest.mark.parametrize("adapt", ["frozen", "auto"])
def test_numbers_are_told_by_a_ridge_on_frozen_vectors(adapt: str, tmp_path: Path) -> None:
    whole = recipe(tmp_path, adapt=adapt)
    table = checkpoint.reviews(90).with_columns(stars=pl.when(pl.col("label") == "a").then(5.0).otherwise(1.0)).drop("label")
    table.write_csv(tmp_path / "reviews.csv")
    run = luban.train(whole | {"task": "regression", "target": "stars"}, folder=tmp_path / "run")
    assert run.scores["r2"]["value"] > 0.9


def test_contrast_without_labels_is_refused(tmp_path: Path) -> None:
    whole = recipe(tmp_path, adapt="contrastive")
    checkpoint.reviews(90).with_columns(stars=pl.arange(90).cast(pl.Float64)).drop("label").write_csv(tmp_path / "reviews.csv")
    with pytest.raises(RecipeError) as caught:
        luban.train(whole | {"task": "regression", "target": "stars"}, folder=tmp_path / "run")
    assert caught.value.code == "L129"


def test_tags_are_told_from_frozen_vectors(tmp_path: Path) -> None:
    whole = recipe(tmp_path, adapt="frozen")
    rows = [{"review": row["review"], "label": [row["label"]] if row["label"] == "a" else []} for row in checkpoint.reviews(90).to_dicts()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = luban.train(whole | {"task": "multi-label-classification", "data": str(tmp_path / "rows.jsonl")}, folder=tmp_path / "run")
    assert run.scores["micro_f1"]["value"] > 0.9
