"""`luban export --to int8`: a bundle like any other, quicker where a trial said so; what it cost is said; it answers where there are no such products."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from running import ANYWHERE, running
from toys import translator

import luban
from luban.bundle import eight_bits as bits
from luban.bundle import format as layout
from luban.bundle import golden
from luban.cli.main import run as cli
from luban.errors import BundleError, LubanError
from luban.layers import eight_bits
from luban.layers.eight_bits import Int8Linear
from luban.layers.lora import LoraLinear
from luban.run import lighter
from luban.run.exchange import to_checkpoint
from luban.run.lighter import to_int8
from luban.serving.app import Service
from luban.tasks.classification import Classification
from luban.tasks.language_modeling import LanguageModeling
from luban.tasks.text_to_text import TextToText


@pytest.fixture
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine on which 8 bits always pay."""
    monkeypatch.setattr(lighter, "pays", lambda weight, bias, tokens: True)


def trained(place: Path, case: str) -> Path:
    """A bundle of a run."""
    more: dict[str, Any] = {}
    if case == "classifier":
        table, task, model, more = (
            Classification.demo(None, 160, 0),
            "classification",
            {"kind": "transformer", "size": "tiny"},
            {"target": "label"},
        )  # type: ignore[arg-type]
    elif case == "decoder":
        table, task = LanguageModeling.demo(None, 90, 0), {"kind": "language-modeling", "generation": {"max_tokens": 5, "temperature": 0.0}}  # type: ignore[arg-type]
        model, more = (
            {"kind": "gpt", "width": 24, "layers": 2, "heads": 4, "context": 64, "value_embeddings": "alternate"},
            {"inputs": {"text": "text"}},
        )
    else:
        translator.write_t5(place / "t5")
        table = TextToText.demo(None, 120, 5)  # type: ignore[arg-type]
        task = {"kind": "translation", "decoded": 5, "generation": {"beams": 2, "max_tokens": 9}}
        model, more = {"kind": "encoder_decoder", "pretrained": str(place / "t5"), "adapt": "lora"}, {"target": "target"}
    table.write_csv(place / "data.csv")
    recipe = {"task": task, "data": str(place / "data.csv"), "model": model, "training": {"steps": 30, "threads": 1}} | more
    return luban.train(recipe | {"evaluation": {"draws": 20, "baselines": False}}, folder=place / "runs" / "x").bundle


def rows_of(place: Path) -> pl.DataFrame:
    """The first rows, without what is asked for."""
    return pl.read_csv(place / "data.csv").head(9).drop("label", "target", strict=False)


@pytest.mark.usefixtures("pays")
@pytest.mark.parametrize("case", ["classifier", "decoder", "adapters"])
def test_a_bundle_like_any_other(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = trained(tmp_path, case)
    found = to_int8(bundle, tmp_path / "out")
    assert 0 < len(found.layers) <= found.num_layers
    assert found.weight_bytes[1] < 0.8 * found.weight_bytes[0]
    assert min(found.rows_per_second) > 0
    whole, light = luban.load(bundle), luban.load(tmp_path / "out")
    assert {name for name, module in light.net.named_modules() if isinstance(module, Int8Linear)} == set(found.layers)
    assert not any(isinstance(module, LoraLinear) for module in light.net.modules())
    first = {"classifier": "accuracy", "decoder": "bits_per_byte", "adapters": "nats_per_token"}[case]
    assert found.scores[first]["after"] == pytest.approx(found.scores[first]["before"], rel=0.03, abs=0.03)
    for name, score in found.scores.items():
        if score["low"] is not None:
            assert score["low"] <= score["after"] - score["before"] <= score["high"], name  # type: ignore[operator]
    rows = rows_of(tmp_path)
    answers = light.predict(rows)
    assert [set(answer) for answer in answers] == [set(answer) for answer in whole.predict(rows)]
    alone = light.predict(rows.head(1))
    assert golden.alike(alone[0], answers[0]), "a row's answer does not depend on its neighbours"
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert f"{len(found.layers)} of {found.num_layers} linear layers in 8 bits" in card
    assert light.report["int8"]["scores"].keys() == found.scores.keys()
    monkeypatch.setattr(eight_bits, "is_exact", lambda *, many: False)
    elsewhere = luban.load(tmp_path / "out")
    if case == "classifier":
        assert all(golden.alike(a, b, golden.LOOSE) for a, b in zip(elsewhere.predict(rows), answers, strict=True))
        assert elsewhere.explain(rows.head(1))[0].keys() == whole.explain(rows.head(1))[0].keys()


@pytest.mark.usefixtures("pays")
def test_the_numbers_stand_for_the_weights_to_half_a_step(tmp_path: Path) -> None:
    bundle = trained(tmp_path, "adapters")
    to_int8(bundle, tmp_path / "out")
    whole, light = luban.load(bundle).net, luban.load(tmp_path / "out").net
    for name, (weight, bias) in bits.layers_of(whole).items():
        layer: Any = light.get_submodule(name)
        if isinstance(layer, Int8Linear):
            assert ((layer.weight - weight).abs() <= 0.5001 * layer.scale[:, None]).all()
            assert bias is None or torch.equal(layer.bias, bias)


@pytest.mark.usefixtures("pays")
def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = trained(tmp_path, "classifier")
    assert cli(["export", str(bundle.parent), "--to", "int8", "--out", str(tmp_path / "one")], False) == 0
    printed = capsys.readouterr().out
    assert "rows a second" in printed
    assert "accuracy" in printed
    named = ["export", str(bundle), "--to", "int8", "--out", str(tmp_path / "two"), "--data", str(tmp_path / "data.csv"), "--json"]
    assert cli(named, False) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows_scored"] == 160
    assert found["scores"]["accuracy"]["before"] == luban.load(bundle).evaluate(pl.read_csv(tmp_path / "data.csv"))["accuracy"]["value"]
    assert cli(["evaluate", str(tmp_path / "two"), str(tmp_path / "data.csv"), "--json"], False) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["value"] == found["scores"]["accuracy"]["after"]
    assert cli(["export", str(bundle), "--to", "service", "--out", str(tmp_path / "three"), "--data", "x.csv"], False) != 0


def test_nothing_is_written_where_nothing_is_gained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = trained(tmp_path, "classifier")
    monkeypatch.setattr(lighter, "times", lambda weight, bias, tokens, forms: {"plain": 1.0, "int8": 0.95})
    with pytest.raises(BundleError, match="L448"):
        to_int8(bundle, tmp_path / "out")
    monkeypatch.setattr(lighter, "times", lambda weight, bias, tokens, forms: {"plain": 1.0})
    with pytest.raises(BundleError, match="L448"):
        to_int8(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("pays")
def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    bundle = trained(tmp_path, "decoder")
    to_int8(bundle, tmp_path / "out")
    with pytest.raises(BundleError, match="L447"):
        to_int8(bundle, tmp_path / "out")
    with pytest.raises(BundleError, match="L448"):
        to_int8(tmp_path / "out", tmp_path / "again")
    with pytest.raises(BundleError, match="L446"):
        to_checkpoint(tmp_path / "out", tmp_path / "folder")
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle, moved)
    with pytest.raises(BundleError, match="L449"):
        to_int8(moved, tmp_path / "third")
    (tmp_path / "data.csv").unlink()
    shutil.rmtree(bundle.parent.parent / ".prepared")
    with pytest.raises(BundleError, match="L449"):
        to_int8(bundle, tmp_path / "third")
    with pytest.raises(LubanError):
        to_int8(bundle, tmp_path / "third", pl.DataFrame({"other": [1]}))
    assert not (tmp_path / "third").exists()


@pytest.mark.usefixtures("pays")
@pytest.mark.parametrize("change", ["shape", "stranger", "scale", "type"])
def test_weights_that_do_not_fit_are_refused(change: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bundle = trained(tmp_path, "classifier")
    found = to_int8(bundle, tmp_path / "out")
    place, name = tmp_path / "out" / layout.WEIGHTS, found.layers[0]
    weights = load_file(place)
    if change == "shape":
        weights[f"{name}.levels"] = weights[f"{name}.levels"][:, 1:].contiguous()
    elif change == "stranger":
        weights["head.levels"] = torch.zeros(3, 3, dtype=torch.int8)
    elif change == "scale":
        weights[f"{name}.scale"][0] = torch.nan
    else:
        weights[f"{name}.levels"] = weights[f"{name}.levels"].float()
    save_file(weights, place)
    layout.sign(tmp_path / "out")
    with pytest.raises(BundleError, match=r"L407|L411"):
        luban.load(tmp_path / "out")


@pytest.mark.usefixtures("pays")
def test_it_is_served_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    to_int8(trained(tmp_path / "one", "classifier"), tmp_path / "labels")
    to_int8(trained(tmp_path / "two", "decoder"), tmp_path / "text")
    rows, prompts = rows_of(tmp_path / "one").to_dicts(), ["the cat sees", "小猫看见"]
    light = luban.load(tmp_path / "text")
    with running(Service([("labels", tmp_path / "labels"), ("text", tmp_path / "text")], place=ANYWHERE)) as served:
        found = served.ask("POST", "/v1/predict/labels", {"rows": rows})
        assert golden.alike(found.json["answers"], luban.load(tmp_path / "labels").predict(rows))
        assert served.ask("POST", "/v1/explain/labels", {"row": rows[0]}).status == 200
        said = served.ask("POST", "/v1/completions", {"model": "text", "prompt": prompts, "temperature": 0, "max_tokens": 5}).json
        wanted = light.predict([{"text": prompt} for prompt in prompts])
        assert [choice["text"] for choice in said["choices"]] == [answer["text"] for answer in wanted]
