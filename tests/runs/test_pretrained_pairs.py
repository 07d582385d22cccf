"""Checkpoints of Marian and T5 in a recipe: trained further, in a bundle that needs the folder no more, and out again; what does not fit is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from toys import checkpoint, translator

import luban
from luban.bundle.model import Model
from luban.checkpoints import folder, sequences
from luban.cli.main import run as cli
from luban.draw import Draw
from luban.errors import LubanError, RecipeError
from luban.layers import lora
from luban.planning import sample
from luban.recipe import parse
from luban.rewriting.sides import Sides
from luban.run.exchange import to_checkpoint
from luban.task import arrange
from luban.tasks.text_to_text import TextToText
from luban.training.loop import fresh

FAMILIES = list(translator.WRITE)
every = pytest.mark.parametrize("family", FAMILIES)


def table(count: int = 120) -> pl.DataFrame:
    return TextToText.demo(None, count, 5)  # type: ignore[arg-type]


def recipe(place: Path, family: str, task: dict[str, Any] | None = None, **model: Any) -> dict[str, Any]:
    """Pairs beside a checkpoint."""
    if not (place / family).exists():
        translator.WRITE[family](place / family)
        table().write_csv(place / "pairs.csv")
    return {
        "task": {"kind": "translation", "decoded": 5, "generation": {"beams": 1, "max_tokens": 12}} | (task or {}),
        "data": str(place / "pairs.csv"),
        "target": "target",
        "inputs": {"source": "text"},
        "model": {"kind": "encoder_decoder", "pretrained": str(place / family)} | model,
        "training": {"steps": 40, "batch_size": 16, "learning_rate": 0.01, "precision": "float32", "threads": 1},
        "evaluation": {"draws": 20, "baselines": False},
    }


def fitted(place: Path, family: str, task: dict[str, Any] | None = None, frame: pl.DataFrame | None = None, **model: Any) -> Any:
    made = parse(recipe(place, family, task, **model)).make_task()
    return type(made)(made.config, made.fit(table() if frame is None else frame))


def batch_of(task: Any, frame: pl.DataFrame) -> Any:
    examples = arrange(task, task.encode(frame), np.ones(len(frame), bool))
    return task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=False))


@every
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_before_training_the_logits_are_the_folders(family: str, adapt: str, tmp_path: Path) -> None:
    task = fitted(tmp_path, family, adapt=adapt)
    net, (given, _) = fresh(task).eval(), sequences.load(tmp_path / family)
    batch = batch_of(task, table(7))
    with torch.no_grad():
        found, wanted = (made.logits(made.hidden(batch.said, made.encode(batch.source, batch.known))) for made in (net, given))  # type: ignore[operator,union-attr]
    assert torch.equal(found, wanted)
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert learning == (set(lora.added(net)) if adapt == "lora" else set(dict(net.named_parameters())))


@every
def test_what_the_net_reads_and_is_taught(family: str, tmp_path: Path) -> None:
    """Each side by its own pieces, the end behind both, before an answer what the checkpoint begins with."""
    task = fitted(tmp_path, family)
    batch = batch_of(task, pl.DataFrame({"source": ["red cat sees dog"], "target": ["chat rouge voit chien"]}))
    sides: Sides = task.sides
    assert [sides.decode([id]).strip() for id in batch.source[0].tolist()] == ["red", "cat", "sees", "dog", ""]
    assert batch.source[0, -1] == batch.targets[0, -1] == sides.end
    assert [sides.decode([id]).strip() for id in batch.targets[0, :-1].tolist()] == ["chat", "rouge", "voit", "chien"]
    assert batch.said[0, 0] == sequences.described(tmp_path / family).marks.start[0]
    marks = sides.marks(task.state["num_tokens"])
    assert set(marks.never) >= {sides.begin, *range(sides.special, task.state["num_tokens"])}


@every
@pytest.mark.parametrize("adapt", [None, "lora"])
def test_trained_further_it_foretells_better_and_needs_the_folder_no_more(family: str, adapt: str | None, tmp_path: Path) -> None:
    run = luban.train(recipe(tmp_path, family, **({"adapt": adapt} if adapt else {})), folder=tmp_path / "run")
    model, rows = luban.load(run.bundle), table(30)
    answers, after = model.predict(rows.drop("target")), model.evaluate(rows)["nats_per_token"]["value"]
    before = Model(model.description, model.task, fresh(fitted(tmp_path, family, frame=rows)).eval(), {}, {})
    untrained = before.evaluate(rows, metrics=("nats_per_token",))["nats_per_token"]["value"]
    assert after < 0.8 * untrained  # type: ignore[operator]
    shutil.rmtree(tmp_path / family)
    assert luban.load(run.bundle).predict(rows.drop("target")) == answers
    for path in (path for path in run.bundle.iterdir() if path.name != "report.json"):  # which keeps the recipe as it was given
        assert str(tmp_path).encode() not in path.read_bytes(), f"{path.name} holds a path of this machine"


@every
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_out_and_in_again_to_the_bit(family: str, adapt: str, tmp_path: Path) -> None:
    given = recipe(tmp_path, family, adapt=adapt)
    run = luban.train(given | {"training": given["training"] | {"steps": 3}}, folder=tmp_path / "run")
    assert to_checkpoint(run.bundle, tmp_path / "out") == family
    assert folder.read_tokenizer(tmp_path / "out") == folder.read_tokenizer(tmp_path / family)
    first, again = (sequences.described(tmp_path / name) for name in (family, "out"))
    assert (first.marks, first.config, first.num_tokens) == (again.marks, again.config, again.num_tokens)
    model = luban.load(run.bundle)
    net = fresh(fitted(tmp_path, "out"))
    own, read = lora.merged(model.net).state_dict(), net.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(tensor, read[name]) for name, tensor in own.items())
    assert any(not torch.equal(tensor, fresh(fitted(tmp_path, family)).state_dict()[name]) for name, tensor in own.items())


def test_a_translator_of_ones_own_is_trained_further(tmp_path: Path) -> None:
    """Byte pairs learnt here go out as tokenizer.json and are read again as the same tokens."""
    base = recipe(tmp_path, "marian")
    own = {"kind": "encoder_decoder", **translator.MARIAN, "zero_init": False, "scaled_vectors": False}
    run = luban.train(base | {"model": own, "task": base["task"] | {"vocabulary": 512}}, folder=tmp_path / "run")
    to_checkpoint(run.bundle, tmp_path / "own")
    model, task = luban.load(run.bundle), fitted(tmp_path, "own")
    frame = pl.DataFrame({"source": ["red cat sees dog", "天地 red"], "target": ["chat rouge", "rouge 天"]})
    first, second = batch_of(model.task, frame), batch_of(task, frame)
    assert torch.equal(first.source, second.source)
    assert torch.equal(first.targets, second.targets)
    assert torch.equal(first.said, second.said)
    again = Model(model.description, task, fresh(task).eval(), {}, {})
    assert again.predict(frame.drop("target")) == model.predict(frame.drop("target"))


def test_the_baselines_read_a_checkpoints_pieces(tmp_path: Path) -> None:
    """What is copied from a source is text, though answers have other pieces."""
    given = recipe(tmp_path, "marian", task={"baselines": ["copy_source", "word_table"]}, kind="auto")
    short = given["training"] | {"steps": 1}
    run = luban.train(given | {"training": short, "evaluation": {"draws": 20}}, folder=tmp_path / "run")
    assert [row["name"] for row in run.report["ladder"]] == ["copy_source", "word_table", "encoder_decoder"]
    chosen = luban.load(run.bundle)
    assert type(chosen.net).__name__ == "WordTable", "one step teaches nothing"
    assert chosen.predict(table(2).drop("target"))[0]["text"]
    copying, table_of_words = fitted(tmp_path, "marian", {"baselines": ["copy_source", "word_table"]}).rungs()
    net = copying.build()
    net.longest.fill_(99)
    batch = batch_of(copying, table(3))
    assert copying.answer(copying.predict(net, batch))["text"].to_list() == table(3)["source"].to_list()
    assert run.report["ladder"][1]["test"]["chrf"]["value"] > 50  # a table of words puts the colour before
    assert type(table_of_words.build()).__name__ == "WordTable"


def test_languages_are_asked_for_by_the_checkpoints_marks(tmp_path: Path) -> None:
    frame = table(40).with_columns(tongue=pl.Series(["fra", ">>eng<<"] * 20))
    task = fitted(tmp_path, "marian", {"language": "tongue"}, frame)
    assert task.state["tags"] == [">>eng<<", "fra"]
    names = json.loads((tmp_path / "marian" / "vocab.json").read_text())
    batch = batch_of(task, frame)
    assert batch.source[:4, 0].tolist() == [names[">>fra<<"], names[">>eng<<"]] * 2
    assert task.sources(task.predict(fresh(task).eval(), batch))[:3] == frame["source"].to_list()[:3]
    with pytest.raises(LubanError, match="L682"):
        fitted(tmp_path, "marian", {"language": "tongue"}, frame.with_columns(tongue=pl.lit("deu")))
    with pytest.raises(LubanError, match="L682"):
        fitted(tmp_path, "t5", {"language": "tongue"}, frame)


def test_a_prefix_stands_in_every_window_and_is_no_part_of_the_source(tmp_path: Path) -> None:
    task = fitted(tmp_path, "t5", {"prefix": "translate to french: "})
    before = task.before
    assert task.sides.decode(before.tolist()) == "translate to french:"
    long = pl.DataFrame({"source": ["red cat sees dog " * 9]})
    examples = arrange(task, task.encode(long), None)
    batch = task.collate(examples, Draw(0, 0, np.arange(1), training=False))
    assert int(batch.windows[0]) > 1
    assert all(row[: len(before)].tolist() == before.tolist() for row in batch.source)
    assert int(batch.known.sum(1).max()) <= task.context
    assert task.sources(task.predict(fresh(task).eval(), batch)) == [("red cat sees dog " * 9).strip()]
    without_room = fitted(tmp_path, "t5", {"prefix": "translate to french: " * 9})
    with pytest.raises(RecipeError, match="L683"):
        without_room.encode(long)


def test_a_prefix_goes_with_learnt_vocabularies_too(tmp_path: Path) -> None:
    made = parse(
        recipe(tmp_path, "t5") | {"task": {"kind": "translation", "prefix": "say it: ", "vocabulary": 512}, "model": "encoder_decoder"}
    )
    task = made.make_task()
    task = type(task)(task.config, task.fit(table()))
    batch = batch_of(task, table(2))
    assert task.sides.decode(batch.source[0, : int(batch.lead[0])].tolist()).strip() == "say it:"


@every
@pytest.mark.parametrize("patience", [sample.QUICK_S, -1.0])
def test_plan_and_check(
    patience: float, family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "QUICK_S", patience)  # below 0 a sample of the rows is read, elsewhere than the checkpoint
    task = fitted(tmp_path, family)
    text = [
        'task = "translation"',
        'data = "pairs.csv"',
        'target = "target"',
        "[inputs]",
        'source = "text"',
        "[model]",
        'kind = "encoder_decoder"',
    ]
    (tmp_path / "recipe.toml").write_text("\n".join([*text, f'pretrained = "{family}"', "[training]", "steps = 2"]))
    assert cli(["check", str(tmp_path / "recipe.toml"), "--json"], False) == 0
    capsys.readouterr()
    assert cli(["plan", str(tmp_path / "recipe.toml"), "--json"], False) == 0
    assert f"{sum(p.numel() for p in fresh(task).parameters())}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "task", "code"),
    [
        ({"kind": "lstm_attention"}, {}, "L109"),
        ({"pretrained": None, "adapt": "lora"}, {}, "L128"),
        ({"adapt": "frozen"}, {}, "L129"),
        ({"width": 31}, {}, "L129"),
        ({"adapt": "lora", "freeze": 1}, {}, "L128"),
        ({}, {"vocabulary": 600}, "L129"),
        ({}, {"tokenizer": "characters"}, "L129"),
    ],
)
def test_keys_that_do_not_fit_are_refused_before_any_data_is_read(
    model: dict[str, Any], task: dict[str, Any], code: str, tmp_path: Path
) -> None:
    whole = recipe(tmp_path, "marian", task)
    whole["model"] = {key: value for key, value in (whole["model"] | model).items() if value is not None}
    with pytest.raises(RecipeError) as caught:
        parse(whole)
    assert caught.value.code == code


def test_frozen_layers_do_not_learn(tmp_path: Path) -> None:
    net = fresh(fitted(tmp_path, "t5", adapt="full", freeze=1))
    still = {".".join(name.split(".")[:2]) for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert still == {"embed.weight", "encoder_bias.table", "encoder.0"}
    with pytest.raises(RecipeError, match="L128"):
        fresh(fitted(tmp_path, "t5", adapt="full", freeze=3))


def damaged(place: Path, how: str) -> None:
    """The folder after a mishap."""
    with checkpoint.changing(place) as (config, weights, files):
        change(how, config, weights, files)
    if how == "pickled":
        checkpoint.pickle(place)


def change(how: str, config: dict[str, Any], weights: dict[str, torch.Tensor], files: dict[str, bytes]) -> None:
    """What the mishap does to what the folder holds."""
    if how == "lacks a tensor":
        weights.pop("model.encoder.layers.1.fc1.bias")
    elif how == "has one more":
        weights["model.encoder.layers.2.fc1.bias"] = torch.zeros(37)
    elif how == "another shape":
        weights["model.encoder.layers.1.fc1.bias"] = torch.zeros(36)
    elif how == "small table":
        config["vocab_size"] = config["decoder_vocab_size"] = 7
        config["pad_token_id"] = config["decoder_start_token_id"] = 3
    elif how == "another family":
        config["model_type"] = "bart"
    elif how == "no target.spm":
        del files["target.spm"]
    elif how == "damaged pieces":
        files["source.spm"] = files["source.spm"][:-3]
    elif how == "not finite":
        weights["model.shared.weight"][3] = torch.nan


DAMAGE = {
    "lacks a tensor": "L435", "has one more": "L435", "another shape": "L436", "small table": "L441", "another family": "L437",
    "no target.spm": "L442", "damaged pieces": "L442", "not finite": "L440", "pickled": "L433",
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGE)
def test_a_folder_that_does_not_fit_is_refused_by_its_code(how: str, tmp_path: Path) -> None:
    recipe(tmp_path, "marian")
    damaged(tmp_path / "marian", how)
    with pytest.raises(LubanError) as caught:
        fresh(fitted(tmp_path, "marian"))
    assert caught.value.code == DAMAGE[how]


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "bert")
    table().write_csv(tmp_path / "pairs.csv")
    with pytest.raises(LubanError, match="L437"):
        luban.train(recipe(tmp_path, "bert"), folder=tmp_path / "run")


@pytest.mark.parametrize("change", [
    {"adopted": None}, {"num_tokens": 9}, {"never": [999]}, {"tags": [1]}, {"answers": {"kind": "text", "form": "characters", "tokenizer": "[]"}},
    {"files": {"source.spm": 3}},
])  # fmt: skip
def test_a_state_that_fit_could_not_have_made(change: dict[str, Any], tmp_path: Path) -> None:
    task = fitted(tmp_path, "marian")
    task.check_state()
    inner = {key: value for key, value in change.items() if key not in ("adopted", "num_tokens")}
    state = task.state | {key: value for key, value in change.items() if key in ("adopted", "num_tokens")}
    state = state | ({"adopted": state["adopted"] | inner} if inner else {})
    with pytest.raises(RecipeError, match=r"L105|L123|L272"):
        type(task)(task.config, state).check_state()
