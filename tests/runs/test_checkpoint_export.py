"""`luban export --to huggingface`: what is written is read again as the same, or it is not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import luban
from luban.checkpoints import folder
from luban.cli.main import run as cli
from luban.errors import BundleError
from luban.run import exchange
from luban.run.exchange import to_checkpoint
from luban.tasks.classification import Classification
from luban.tasks.language_modeling import LanguageModeling
from luban.tasks.masked_language_modeling import MaskedLanguageModeling

LLAMA = {
    "kind": "gpt", "width": 24, "layers": 2, "heads": 4, "kv_heads": 2, "context": 64, "activation": "swiglu", "qk_norm": False, "zero_init": False,
}  # fmt: skip
BERT = {"kind": "bert", "size": "tiny", "width": 22, "layers": 1, "heads": 2, "feed": 31}


def trained(place: Path, task: str, model: Any, table: Any, **more: Any) -> Path:
    table.write_csv(place / "data.csv")
    recipe = {"task": task, "data": str(place / "data.csv"), "model": model, "training": {"steps": 3}, "evaluation": {"draws": 20}} | more
    return luban.train(recipe, folder=place / "run").bundle


def test_a_decoder_is_written_as_the_first_family_that_holds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = LanguageModeling.demo(None, 60, 0)  # type: ignore[arg-type]
    bundle = trained(tmp_path, "language-modeling", LLAMA, table, inputs={"text": "text"})
    assert cli(["export", str(bundle), "--to", "huggingface", "--out", str(tmp_path / "out"), "--json"], False) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "llama"
    config, tensors = folder.read(tmp_path / "out")
    assert config["model_type"] == "llama"
    assert config["num_key_value_heads"] == 2
    net = luban.load(bundle).net
    torch.testing.assert_close(tensors["model.embed_tokens.weight"], net.embed.weight, rtol=0, atol=0)  # type: ignore[union-attr]
    with pytest.raises(BundleError, match="L447"):
        to_checkpoint(bundle, tmp_path / "out")


def test_value_embeddings_have_no_place_in_a_checkpoint(tmp_path: Path) -> None:
    table = LanguageModeling.demo(None, 60, 0)  # type: ignore[arg-type]
    bundle = trained(tmp_path, "language-modeling", LLAMA | {"value_embeddings": "all"}, table, inputs={"text": "text"})
    assert "values.1.table.weight" in luban.load(bundle).net.state_dict()
    with pytest.raises(BundleError, match=r"L438.*value_embeddings"):
        to_checkpoint(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_read_again_as_another_model_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LanguageModeling.demo(None, 60, 0)  # type: ignore[arg-type]
    bundle = trained(tmp_path, "language-modeling", LLAMA, table, inputs={"text": "text"})
    honest = exchange.folder.read

    def altered(place: Path) -> Any:
        config, tensors = honest(place)
        return config, {name: tensor * 1.001 for name, tensor in tensors.items()}

    monkeypatch.setattr(exchange.folder, "read", altered)
    with pytest.raises(BundleError, match="L444"):
        to_checkpoint(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_decoder_that_no_family_holds_is_refused_by_the_part(tmp_path: Path) -> None:
    table = LanguageModeling.demo(None, 60, 0)  # type: ignore[arg-type]
    bundle = trained(tmp_path, "language-modeling", LLAMA | {"activation": "relu2"}, table, inputs={"text": "text"})
    with pytest.raises(BundleError, match=r"L438.*relu2"):
        to_checkpoint(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encoder_goes_along_with_its_head(tmp_path: Path) -> None:
    table = MaskedLanguageModeling(MaskedLanguageModeling.Config()).demo(80, 1)
    bundle = trained(tmp_path, "fill-mask", BERT, table, inputs={"text": {"kind": "text", "vocabulary": 300}})
    assert to_checkpoint(bundle, tmp_path / "out") == "bert"
    assert "cls.predictions.transform.dense.weight" in folder.read(tmp_path / "out")[1]


def test_other_nets_are_refused(tmp_path: Path) -> None:
    table = Classification.demo(None, 80, 0)  # type: ignore[arg-type]
    bundle = trained(tmp_path, "classification", "ngrams", table, target="label")
    with pytest.raises(BundleError, match="L446"):
        to_checkpoint(bundle, tmp_path / "out")
