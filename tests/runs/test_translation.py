"""Translation and summaries from recipe to bundle: answers, long sources, languages, bad input, what a report shows, what a service streams."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luban
from luban.errors import DataError, LubanError, RecipeError
from luban.recipe import parse
from luban.rewriting.sides import longest_of
from luban.run import train
from luban.tasks.text_to_text import TextToText

QUICK = {"steps": 160, "batch_size": 16, "learning_rate": 0.01, "precision": "float32", "threads": 1}
TINY = {"kind": "lstm_attention", "embedding": 22, "hidden": 19, "context": 32}
TASK = {"kind": "translation", "vocabulary": 512, "decoded": 10, "generation": {"beams": 2, "best": 2, "max_tokens": 12}}


def table(count: int = 300) -> pl.DataFrame:
    return TextToText.demo(None, count, 3)  # type: ignore[arg-type]


def trained(folder: Path, frame: pl.DataFrame, **changes: Any) -> Any:
    frame.write_csv(folder / "pairs.csv")
    asked = {"task": TASK, "data": "pairs.csv", "target": "target", "inputs": {"source": "text"}, "model": TINY, "training": QUICK}
    return train(parse(asked | {"evaluation": {"draws": 20}} | changes, base=folder), runs=folder / "runs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(tmp_path_factory.mktemp("translation"), table())


def test_a_run_shows_scores_signatures_slices_maps_and_the_worst(run: Any) -> None:
    report = run.report
    assert [row["name"] for row in report["ladder"]] == ["word_table", "lstm_attention"]
    assert set(report["ladder"][1]["test"]) >= {"chrf", "bleu", "nats_per_token", "sequence_calibration_error"}
    assert set(report["ladder"][0]["test"]) >= {"chrf", "bleu"}
    assert report["protocol"]["signatures"]["bleu"] == "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"
    assert report["alignments"]
    for map in report["alignments"]:
        assert np.asarray(map["weights"]).shape == (len(map["answer"]), len(map["source"]))
        assert np.asarray(map["weights"]).sum(1) == pytest.approx(1, abs=0.02)
    qualities = [wrong["quality"] for wrong in report["wrong"]]
    assert qualities == sorted(qualities)
    assert report["wrong"][0]["truth"] in set(table()["target"])
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert 'class="alignment"' in page
    assert "nrefs:1" in page


def test_a_bundle_answers_with_alternatives_and_evaluates(run: Any) -> None:
    model = luban.load(run.bundle)
    rows = table(5).drop("target")
    answers = model.predict(rows)
    for answer in answers:
        assert answer["text"]
        assert 0 < answer["confidence"] <= 1
        assert len(answer["alternatives"]) == 1
    assert model.evaluate(table(50))["chrf"]["value"] > 0


def test_a_source_of_a_hundred_thousand_words_is_answered_in_windows(run: Any) -> None:
    model = luban.load(run.bundle)
    sentence = "red cat sees dog. "
    [short, long] = model.predict([{"source": sentence * 2}, {"source": sentence * 200}])
    assert short["joins"] == []
    assert len(long["joins"]) > 10
    assert all(0 < place < len(long["text"]) for place in long["joins"])
    spans = model.task.windows(model.task.encode(pl.DataFrame({"source": [sentence * 25_000]}))["source"])
    assert sum(b - a for a, b in spans[0]) == len(model.task.tokenizer.encode([" " + (sentence * 25_000).strip()])[0])
    assert max(b - a for a, b in spans[0]) <= 31


def test_bad_rows_are_named_and_cost_themselves_alone(run: Any) -> None:
    model = luban.load(run.bundle)
    answers = model.predict([{"source": "red cat"}, {"source": ""}, {"source": None}, {"source": "混合 mixed скрипт \u202e"}])
    assert "the source is empty" in answers[1]["error"]
    assert "the source is empty" in answers[2]["error"]
    assert answers[0]["error"] is None
    assert answers[3]["error"] is None


def test_streamed_pieces_are_the_greedy_answer(run: Any) -> None:
    from luban.draw import Draw
    from luban.task import arrange

    task = luban.load(run.bundle).task
    net = luban.load(run.bundle).net
    examples = arrange(task, task.encode(table(2).drop("target")), None)
    frames = list(task.stream(net, task.collate(examples, Draw(0, 0, np.arange(2), training=False)), None))
    whole = pl.concat(frames).group_by("row", maintain_order=True).agg(pl.col("text").str.join(""), pl.col("finish").last())
    assert whole["finish"].to_list() == ["stop", "stop"]
    assert all(text == text.strip() != "" for text in whole["text"])


def test_an_answer_may_be_hardly_longer_than_the_longest_learnt_from(run: Any) -> None:
    """Half as much again as the longest target, and ten tokens; a bundle from before that was known answers as it is asked."""
    model = luban.load(run.bundle)
    task = model.task
    lengths = task.encode(table()).data["target"].lengths
    assert task.state["longest"] == max(lengths)
    wide = type(task)(replace(task.config, generation=replace(task.config.generation, max_tokens=1000)), task.state)
    assert wide.search.max_tokens == round(1.5 * max(lengths)) + 10
    assert task.search.max_tokens == task.config.generation.max_tokens == 12
    before = type(task)(wide.config, {key: value for key, value in task.state.items() if key != "longest"})
    before.check_state()
    assert before.search.max_tokens == 1000


def test_the_longest_leaves_out_accidents(run: Any) -> None:
    sides = luban.load(run.bundle).task.sides
    texts = ["red cat " * number for number in range(1, 1001)]
    assert longest_of(texts, sides) == longest_of(texts[:-1], sides) == longest_of([*texts[:-1], "red cat " * 9000], sides)
    assert longest_of(["red"], sides) == longest_of(["red", ""], sides) > 0


def test_one_model_answers_in_the_language_asked_for(tmp_path: Path) -> None:
    frame = table(240)
    same = [row % 2 == 1 for row in range(240)]
    target = [a if copy else b for a, b, copy in zip(frame["source"], frame["target"], same, strict=True)]
    frame = frame.with_columns(pl.Series("target", target), pl.Series("tongue", ["en" if copy else "fr" for copy in same]))
    done = trained(tmp_path, frame, task=TASK | {"language": "tongue"}, training=QUICK | {"steps": 120})
    model = luban.load(done.bundle)
    answers = model.predict([{"source": "red cat sees dog", "tongue": tongue} for tongue in ("en", "fr", "de")])
    assert "sees" in answers[0]["text"]
    assert "voit" in answers[1]["text"]
    assert "no training row asks for this language: en, fr" in answers[2]["error"]
    with pytest.raises(DataError, match="L201"):
        model.predict([{"source": "red cat"}])


def test_summaries_are_held_against_the_lead(tmp_path: Path) -> None:
    frame = pl.DataFrame({"document": [f"{a} and then much else that nobody needs to know. " * 9 for a in table()["source"]],
                          "summary": table()["source"]})  # fmt: skip
    frame.write_csv(tmp_path / "texts.csv")
    made = parse({"task": "summarization", "data": "texts.csv", "model": TINY, "training": QUICK | {"steps": 3}}, base=tmp_path)
    report = train(made, runs=tmp_path / "runs").report
    assert [row["name"] for row in report["ladder"]] == ["lead", "lstm_attention"]
    assert report["protocol"]["metric"] == "rouge_1"
    assert report["ladder"][0]["test"]["rouge_1"]["value"] > 0.8
    assert report["data"]["inputs"] == {"document": "text"}
    assert report["data"]["target"] == "summary"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"inputs": {"source": "text", "more": "text"}}, "L170"),
        ({"inputs": {"source": "number"}}, "L170"),
        ({"model": "gpt"}, "L109"),
        ({"task": TASK | {"language": "tongue"}}, "L201"),
        ({"task": TASK | {"decodd": 3}}, "L104"),
        ({"target": "missing"}, "L201"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    with pytest.raises((RecipeError, DataError)) as caught:
        trained(tmp_path, table(50), **change)
    assert caught.value.code == code


def test_pairs_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"source": ["a b c"] + [""] * 20, "target": ["x"] + ["y"] * 20})
    with pytest.raises(LubanError) as caught:
        trained(tmp_path, frame, reading={"reject_limit": 1.0})
    assert caught.value.code == "L299"
    frame = table(60).with_columns(target=pl.when(pl.int_range(60) < 9).then(pl.lit("word " * 90)).otherwise(pl.col("target")))
    with pytest.raises(LubanError) as caught:
        trained(tmp_path, frame)
    assert caught.value.code == "L215"
    assert "more than the context of 31" in str(caught.value)


def test_golden_rows_hold_the_answers(run: Any) -> None:
    lines = (run.bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    assert all(0 < json.loads(line)["answer"]["confidence"] <= 1 for line in lines)


def test_how_answers_are_looked_for_may_change_with_the_question(run: Any) -> None:
    model = luban.load(run.bundle)
    [one] = model.predict([{"source": "red cat sees dog"}], generation={"best": 4})
    assert len(one["alternatives"]) == 3
    [short] = model.predict([{"source": "red cat sees dog"}], generation={"max_tokens": 1, "best": 1})
    assert short["finish"] == "length"
    assert short["alternatives"] == []
    with pytest.raises(RecipeError, match="L104"):
        model.predict([{"source": "red cat"}], generation={"bets": 4})


MARIAN = {
    "kind": "encoder_decoder", "width": 24, "layers": 1, "heads": 2, "context": 32, "positions": "sinusoidal", "norm": "layer", "norm_eps": 1e-5,
    "pre_norm": False, "activation": "relu", "bias": True, "qk_norm": False, "head_bias": True, "zero_init": False,
}  # fmt: skip


def test_a_translator_is_exported_as_marian_or_refused(tmp_path: Path) -> None:
    from luban.checkpoints import folder
    from luban.errors import BundleError
    from luban.run.exchange import to_checkpoint

    done = trained(tmp_path, table(60), model=MARIAN, training=QUICK | {"steps": 2}, evaluation={"draws": 20, "baselines": False})
    assert to_checkpoint(done.bundle, tmp_path / "out") == "marian"
    config, tensors = folder.read(tmp_path / "out")
    assert config["decoder_start_token_id"] == config["eos_token_id"] == 0
    assert tensors["model.shared.weight"].shape == (luban.load(done.bundle).net.num_tokens, 24)
    with pytest.raises(BundleError, match="L446"):
        to_checkpoint(trained_table(tmp_path).bundle, tmp_path / "table")


def trained_table(folder: Path) -> Any:
    """A bundle of the words alone."""
    return trained(folder, table(61), model={"kind": "word_table"}, training={})
