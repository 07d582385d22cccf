"""What a bundle attends to, as data and drawn; the articles' BERT base by its exact size."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import torch
from toys import checkpoint

import luban
from luban.draw import Draw
from luban.errors import BundleError
from luban.recipe import read
from luban.tasks.language_modeling import LanguageModeling

ROOT = Path(__file__).parents[2]
QUICK = {"training": {"steps": 2, "precision": "float32"}, "evaluation": {"baselines": False, "draws": 20}}


def trained(place: Path, model: dict[str, Any], inputs: dict[str, Any] | None = None) -> Any:
    """A bundle over reviews."""
    table = checkpoint.reviews(60)
    table = table.with_columns(steps=pl.Series([str([[float(i)], [1.0], [2.0]]) for i in range(60)]))
    table.write_csv(place / "data.csv")
    recipe = {"task": "classification", "data": str(place / "data.csv"), "target": "label", "inputs": inputs or {"review": "text"}}
    return luban.load(luban.train(recipe | {"model": model} | QUICK, folder=place / "run").bundle)


MODELS = {
    "bert": {"kind": "bert", "width": 22, "layers": 2, "heads": 2, "feed": 31},
    "pretrained": {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "frozen"},
    "transformer": {"kind": "transformer", "width": 14, "layers": 3, "heads": 7},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_its_tokens_and_a_map_of_each_head(name: str, tmp_path: Path) -> None:
    model = trained(tmp_path, MODELS[name])
    found = model.attention([{"review": "很好 推荐 7"}, {"review": "太差"}])
    assert len(found) == 2
    layers, heads = {"bert": (2, 2), "pretrained": (2, 2), "transformer": (3, 7)}[name]
    for one in found:
        count = len(one.tokens)
        assert one.maps.shape == (layers, heads, count, count)
        np.testing.assert_allclose(one.maps.sum(-1), 1, rtol=1e-5)
    assert "".join(found[0].tokens).replace("[CLS]", "").replace("[SEP]", "").replace(" ", "") == "很好推荐7"
    root = ElementTree.fromstring(found[0].draw(0))
    assert len([part for part in root.iter() if part.tag.endswith("rect")]) <= heads * len(found[0].tokens) ** 2
    before = model.predict([{"review": "很好"}])
    assert model.predict([{"review": "很好"}]) == before, "looking changes nothing"


def test_a_map_is_the_softmax_of_queries_and_keys(tmp_path: Path) -> None:
    model = trained(tmp_path, MODELS["bert"] | {"layers": 1})
    rows = model.task.encode(pl.DataFrame({"review": ["很好 推荐 7"]}))["review"]
    tokens = torch.from_numpy(rows.pad(0).astype(np.int64))
    encoder = model.net.encoders[0]
    x = encoder.embedded(tokens, torch.zeros_like(tokens))
    layer = encoder.blocks[0].attention
    q, k = (part(x).unflatten(-1, (2, 11)).transpose(1, 2) for part in (layer.query, layer.key))
    expected = torch.softmax(q @ k.transpose(-1, -2) / 11**0.5, -1)[0]
    np.testing.assert_allclose(model.attention([{"review": "很好 推荐 7"}])[0].maps[0], expected.detach().numpy(), atol=1e-6)


def test_steps_of_a_series_are_called_by_their_number(tmp_path: Path) -> None:
    model = trained(tmp_path, MODELS["transformer"], {"steps": "series"})
    assert model.attention([{"steps": [[1.0], [2.0]]}])[0].tokens == ["1", "2"]


def test_names_cannot_write_into_the_drawing(tmp_path: Path) -> None:
    model = trained(tmp_path, MODELS["transformer"])
    drawn = model.attention([{"review": "<script>alert(1)</script>"}])[0].draw()
    ElementTree.fromstring(drawn)
    assert "<script" not in drawn


def test_a_decoder_sees_only_what_stands_before(tmp_path: Path) -> None:
    LanguageModeling.demo(None, 200, 1).write_csv(tmp_path / "data.csv")  # type: ignore[arg-type]
    recipe = {"task": {"kind": "language-modeling", "tokenizer": "characters"}, "data": str(tmp_path / "data.csv"), **QUICK}
    model_section = {"kind": "gpt", "width": 28, "layers": 2, "heads": 2, "context": 37}
    model = luban.load(luban.train(recipe | {"model": model_section}, folder=tmp_path / "run").bundle)
    found = model.attention([{"text": "the cat"}])[0]
    assert "".join(found.tokens[-7:]) == "the cat"
    assert (np.triu(found.maps[0, 0], 1) == 0).all()


def test_a_model_without_attention_says_so(tmp_path: Path) -> None:
    model = trained(tmp_path, {"kind": "ngrams", "buckets": 997, "width": 7})
    with pytest.raises(BundleError) as caught:
        model.attention([{"review": "很好"}])
    assert caught.value.code == "L445"


def test_the_articles_bert_has_its_parameters_and_its_pooled_vectors() -> None:
    recipe = read(ROOT / "recipes" / "articles" / "bert-finetune.toml")
    made = recipe.make_task()
    table = pl.DataFrame({"review": ["很好", "太 差 了"] * 20, "sentiment": ["positive", "negative"] * 20})
    task = type(made)(made.config, made.fit(table))
    with torch.device("meta"):
        encoder = task.build().encoders[0]
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 109_482_240
    assert (recipe.training.steps, recipe.training.batch_size) == (100, 32)
    rows = task.encode(pl.DataFrame({"review": ["很 好 很 好", "太 差 了 太 差 了"]}))
    batch = task.collate(rows, Draw(0, 0, np.arange(2), training=False))
    lengths = (batch.inputs["review"] > 0).sum(1)
    assert lengths.tolist() == [6, 8]
    assert int(lengths.sum()) == 14
    assert encoder({"review": batch.inputs["review"].to("meta")}).shape == (2, 768)
