"""From text to a bundle that goes on from a prompt, in two languages; what is wrong with a corpus is said at once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import luban
from luban.bundle import format as layout
from luban.bundle.migrations import migrate
from luban.cli.main import run as cli
from luban.errors import BundleError, DataError, RecipeError
from luban.recipe import parse

TALE = "".join(f"第{n}天，小猫看见大树。 On day {n} the cat sees the tree.\n" for n in range(150))


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """Over the tale."""
    (folder / "tale.txt").write_text(TALE, encoding="utf-8")
    return {
        "task": {"kind": "language-modeling", "tokenizer": "characters", "generation": {"max_tokens": 9, "temperature": 0.0}},
        "data": str(folder / "tale.txt"),
        "model": {"kind": "gpt", "size": "tiny"},
        "training": {
            "steps": 40,
            "batch_size": 16,
            "learning_rate": 0.01,
            "optimizer": "muon",
            "validations": 2,
            "threads": 1,
            "precision": "float32",
        },
        "evaluation": {"draws": 20},
    } | changes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luban.run.pipeline.Run:  # type: ignore[name-defined]
    """Trained once."""
    folder = tmp_path_factory.mktemp("tale")
    return luban.train(recipe(folder), folder=folder / "run")


def test_the_end_of_the_text_is_held_out_and_the_ladder_stands(run: Any) -> None:
    report = run.report
    assert [row["kind"] for row in report["ladder"]] == ["kneser_ney", "gpt"]
    assert report["protocol"]["split"]["en"].startswith("last")
    assert 0 < run.scores["bits_per_byte"]["value"] < 3
    bits, nats = (run.scores[name]["value"] for name in ("bits_per_byte", "nats_per_token"))
    np.testing.assert_allclose(run.scores["perplexity"]["value"], np.exp(nats), rtol=1e-6)
    assert bits < nats / np.log(2), "a character of Chinese is three bytes"


def test_the_bundle_goes_on_from_a_prompt(run: Any) -> None:
    model = luban.load(run.bundle)
    one, other = model.predict([{"text": "第3天，小"}, {"text": "On day 7 the c"}])
    assert one["tokens"] <= 9
    assert model.predict([{"text": "On day 7 the c"}])[0]["text"] == other["text"]
    with pytest.raises(DataError, match="L271"):
        model.predict([{"text": "long " * 99}])


def test_a_budget_alone_decides_the_network(tmp_path: Path) -> None:
    asked = recipe(tmp_path, model="gpt", training={"budget": "9 s", "threads": 1}, evaluation={"baselines": False, "draws": 20})
    run = luban.train(asked, folder=tmp_path / "run")
    tried = run.report["size"]["tried"]
    assert run.recipe.model["size"] == run.report["size"]["size"] == min(tried, key=lambda one: one["left"])["size"]
    assert (run.recipe.training.optimizer, run.recipe.training.schedule) == ("muon", "linear")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "left to learn" in page
    assert "by the law of scaling" in page


def test_a_bundle_of_the_third_format_has_the_table_of_tokens_as_its_head(tmp_path: Path) -> None:
    model = {"kind": "gpt", "size": "tiny", "tied": True}
    asked = recipe(tmp_path, model=model, training={"steps": 3, "threads": 1}, evaluation={"baselines": False, "draws": 20})
    bundle = luban.train(asked, folder=tmp_path / "run").bundle
    said = luban.load(bundle).predict([{"text": "On day 7 the c"}])
    description = json.loads((bundle / "luban.json").read_text(encoding="utf-8"))
    del description["recipe"]["model"]["tied"]
    layout.write_json(bundle / "luban.json", description | {"format": 3})
    layout.sign(bundle, 3)
    old = luban.load(bundle)
    assert old.net.head is None
    assert old.predict([{"text": "On day 7 the c"}]) == said
    layout.write_json(bundle / "luban.json", description | {"format": 4})
    layout.sign(bundle)
    with pytest.raises(BundleError, match="L407"):
        luban.load(bundle)


@pytest.mark.parametrize("model", [{"kind": "kneser_ney"}, {"kind": "gpt", "pretrained": "x"}, {"kind": "gpt", "tied": False}])
def test_other_models_of_the_third_format_are_as_they_were(model: dict[str, Any]) -> None:
    parts = {"luban.json": {"task": "chat", "recipe": {"task": {"kind": "chat"}, "model": model}}, "state.json": None}
    assert migrate(parts, 3) == parts


def test_settings_of_generation_may_change_with_each_question(run: Any) -> None:
    model, rows = luban.load(run.bundle), [{"text": "On day 7 the c"}]
    assert model.predict(rows, generation={"max_tokens": 3})[0]["tokens"] <= 3
    assert model.predict(rows, generation={"temperature": 0})[0]["text"] == model.predict(rows)[0]["text"], "so the recipe has it"
    drawn = {model.predict(rows, generation={"temperature": 9.0, "seed": seed})[0]["text"] for seed in range(4)}
    assert len(drawn) > 1
    with pytest.raises(RecipeError, match="L105"):
        model.predict(rows, generation={"temperature": -1})
    with pytest.raises(RecipeError, match="L104"):
        model.predict(rows, tokenizer="bpe")


def test_settings_are_set_on_the_command_line(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", str(run.bundle), "--text", "On day 7 the c", "--json", "--set", "generation.max_tokens=2"]
    assert cli([*command, "--set", "generation.temperature=0"], False) == 0
    assert json.loads(capsys.readouterr().out)[0]["tokens"] <= 2


def test_a_faster_copy_says_what_it_costs(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "luban")
    model = luban.load(run.bundle)
    light = model.faster(streams=2, int8=True, rows=[{"text": TALE[:800]}])
    assert "bits_per_byte" in caplog.text
    before, after = (one.evaluate([{"text": TALE[:800]}])["bits_per_byte"]["value"] for one in (model, light))
    assert abs(after - before) < 0.2 * before


@pytest.mark.parametrize(("text", "code"), [("", "L202"), ("one line", "L2"), ("a few words\n" * 9, "L270"), ("\0\0\0\0" * 99, "L20")])
def test_a_corpus_that_teaches_nothing_is_a_named_error(text: str, code: str, tmp_path: Path) -> None:
    asked = recipe(tmp_path)
    (tmp_path / "tale.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        luban.train(asked, folder=tmp_path / "run")
    assert caught.value.code.startswith(code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": {"kind": "transformer"}}, "L109"),
        ({"inputs": {"a": "text", "b": "text"}}, "L273"),
        ({"inputs": {"a": "number"}}, "L273"),
        ({"inputs": {"a": {"kind": "text", "max_length": 3}}}, "L104"),
        ({"target": "label"}, "L104"),
        ({"model": {"kind": "gpt", "width": 30, "heads": 4}}, "L118"),
        ({"model": {"kind": "gpt", "adapt": "lora"}}, "L128"),
        ({"model": {"kind": "gpt", "pretrained": "x", "width": 3}}, "L129"),
        ({"model": {"kind": "kneser_ney", "pretrained": "x"}}, "L109"),
        ({"model": {"kind": "gpt", "pretrained": "x", "adapt": "frozen"}}, "L129"),
        ({"task": {"kind": "language-modeling", "generation": {"temperature": -1}}}, "L105"),
        ({"task": {"kind": "language-modeling", "generation": {"json_schema": {"type": "string", "pattern": "a"}}}}, "L279"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_before_data_is_read(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse({"task": "language-modeling", "data": "nowhere.txt"} | change)
    assert caught.value.code == code
