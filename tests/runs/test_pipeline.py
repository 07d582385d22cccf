"""Recipe → bundle → answer, in a process that never saw the data; resumed; refused when changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl
import pytest
import torch
from interrupting import at_step

import luban
from luban import cores
from luban.errors import LubanError
from luban.run import Run, pipeline, train
from luban.tasks.classification import Classification
from luban.tasks.regression import Regression

TEXT_RECIPE = """
task = "classification"
data = "data.csv"
target = "label"
[model]
kind = "{model}"
size = "tiny"
[training]
steps = 25
precision = "float32"
[evaluation]
draws = 20
"""


def make(folder: Path, model: str = "auto", rows: int = 230) -> Path:
    Classification.demo(None, rows, 0).write_csv(folder / "data.csv")  # type: ignore[arg-type]
    (folder / "r.toml").write_text(TEXT_RECIPE.format(model=model))
    return folder / "r.toml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return train(make(folder), runs=folder / "runs")


def test_the_run_folder_holds_what_was_promised(done: Run) -> None:
    names = {path.name for path in done.folder.iterdir()}
    assert {"recipe.toml", "environment.json", "rejects.jsonl", "log.jsonl", "checkpoints", "report.html", "report.json", "bundle"} <= names
    assert done.report["protocol"]["test_scored"] == 1
    assert [row["name"] for row in done.report["ladder"]] == ["majority", "linear", "boosted", "ngrams"]
    assert sum(row["chosen"] for row in done.report["ladder"]) == 1
    assert (done.folder / "report.html").stat().st_size < 2_000_000


def test_the_completed_recipe_reproduces_the_run(done: Run, tmp_path: Path) -> None:
    again = train(done.folder / "recipe.toml", runs=tmp_path / "runs")
    for mine, theirs in zip(again.report["ladder"], done.report["ladder"], strict=True):
        assert mine["test"] == theirs["test"]
    weights = "weights.safetensors"
    assert (again.bundle / weights).read_bytes() == (done.bundle / weights).read_bytes()


def test_predict_and_evaluate_in_a_process_that_never_saw_the_data(done: Run, tmp_path: Path) -> None:
    rows = Classification.demo(None, 17, 5)  # type: ignore[arg-type]
    rows.drop("label").write_csv(tmp_path / "new.csv")
    rows.write_csv(tmp_path / "labelled.csv")
    command = "import sys; from luban.cli.main import main; main(sys.argv[1:])"
    run = [sys.executable, "-c", command]
    moved = tmp_path / "elsewhere"
    done.bundle.rename(moved)
    try:
        out = subprocess.run(
            [*run, "predict", str(moved), str(tmp_path / "new.csv"), "--json"], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        answers = json.loads(out.stdout)
        scores = json.loads(
            subprocess.run(
                [*run, "evaluate", str(moved), str(tmp_path / "labelled.csv"), "--json"], capture_output=True, text=True, check=True
            ).stdout
        )
    finally:
        moved.rename(done.bundle)
    assert [set(answer) for answer in answers] == [{"label", "confidence", "chances"}] * 17
    right = np.mean([answer["label"] == label for answer, label in zip(answers, rows["label"], strict=True)])
    assert scores["accuracy"]["value"] == pytest.approx(right)
    assert answers == luban.load(done.bundle).predict(rows.drop("label").to_dicts())


def test_a_row_that_cannot_be_read_is_answered_with_its_reason(done: Run) -> None:
    rows = Classification.demo(None, 3, 5).drop("label").to_dicts()  # type: ignore[arg-type]
    rows[1]["price"] = "plenty"
    answers = luban.load(done.bundle).predict([{**row, "price": str(row["price"])} for row in rows])
    assert [answer["error"] is None for answer in answers] == [True, False, True]
    assert answers[1]["label"] is None
    assert "plenty" in answers[1]["error"]


def test_the_same_command_is_done_at_once_and_another_recipe_takes_another_folder(tmp_path: Path) -> None:
    recipe = make(tmp_path, "linear")
    first = train(recipe, runs=tmp_path / "runs")
    before = (first.folder / "report.json").read_bytes()
    assert train(recipe, runs=tmp_path / "runs").folder == first.folder
    assert (first.folder / "report.json").read_bytes() == before
    assert train(recipe, sets=("training.seed=1",), runs=tmp_path / "runs").folder != first.folder


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    from luban.run.interruption import Interrupted

    recipe = make(tmp_path, "transformer")
    whole = train(recipe, runs=tmp_path / "whole")

    with pytest.raises(Interrupted) as caught:
        train(recipe, runs=tmp_path / "cut", tell=at_step(10))
    assert caught.value.exit_code == 143
    cut = train(recipe, runs=tmp_path / "cut")
    for name in ("bundle/weights.safetensors", "log.jsonl"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_run_killed_after_its_training_answers_with_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, marks_of = [], pipeline.marks_of
    monkeypatch.setattr(pipeline, "marks_of", lambda *given: (seen.append(torch.get_num_threads()), marks_of(*given))[1])
    monkeypatch.setattr(cores, "allowed", lambda: 3)
    threads = torch.get_num_threads()
    try:
        whole = train(make(tmp_path, "transformer"), runs=tmp_path / "runs")
        rmtree(whole.bundle)
        (whole.folder / "report.json").unlink()
        torch.set_num_threads(2)
        train(make(tmp_path, "transformer"), runs=tmp_path / "runs")
    finally:
        torch.set_num_threads(threads)
    assert set(seen[-2:]) == {1}, seen  # its products are too small to share
    assert seen.count(1) > 2


def test_one_flipped_bit_is_refused(done: Run) -> None:
    for name in ("weights.safetensors", "state.json", "luban.json", "golden.jsonl", "card.md"):
        path = done.bundle / name
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[len(flipped) // 2] ^= 1
        path.write_bytes(bytes(flipped))
        with pytest.raises(LubanError) as caught:
            luban.load(done.bundle)
        assert caught.value.code == "L404"
        path.write_bytes(content)
    luban.load(done.bundle)


def reseal(bundle: Path) -> None:
    """A stranger's manifest: every hash is right."""
    from luban.bundle import format as layout

    files = {p.name: {"sha256": layout.digest(p), "bytes": p.stat().st_size} for p in bundle.iterdir() if p.name != layout.MANIFEST}
    layout.write_json(bundle / layout.MANIFEST, {"format": layout.FORMAT, "files": files})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("luban.json", lambda d: d["recipe"]["model"].update(buckets=10**12) or d),
        ("luban.json", lambda d: []),
        ("luban.json", lambda d: d["recipe"].update(task="os.system") or d),
        ("state.json", lambda d: d["inputs"]["review"].update(tokenizer="{}") or d),
        ("state.json", lambda d: d.update(inputs={"review": {"kind": "../../x"}}) or d),
        ("state.json", lambda d: None),
    ],
)
def test_a_strangers_bundle_is_refused_at_once(done: Run, tmp_path: Path, name: str, change: object) -> None:
    import shutil

    bundle = tmp_path / "bundle"
    shutil.copytree(done.bundle, bundle)
    content = change(json.loads((bundle / name).read_text()))  # type: ignore[operator]
    (bundle / name).write_text(json.dumps(content))
    reseal(bundle)
    with pytest.raises(LubanError) as caught:
        luban.load(bundle)
    assert caught.value.code.startswith("L4")


def test_golden_rows_name_no_file(tmp_path: Path) -> None:
    import shutil

    from luban import recipe as recipes
    from luban.kinds.image import Image

    pl.DataFrame({"image": Image.demo(40, 0), "y": ["a", "b"] * 20}).write_parquet(tmp_path / "data.parquet")
    asked = {"task": "classification", "data": "data.parquet", "target": "y", "model": "linear", "evaluation": {"draws": 20}}
    run = train(recipes.parse(asked, base=tmp_path), runs=tmp_path / "runs")
    luban.load(run.bundle)
    lines = [json.loads(line) for line in (run.bundle / "golden.jsonl").read_text().splitlines()]
    shutil.copy(tmp_path / "data.parquet", tmp_path / "secret")
    lines[0]["input"]["image"] = str(tmp_path / "secret")
    (run.bundle / "golden.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(run.bundle)
    with pytest.raises(LubanError, match="L403"):
        luban.load(run.bundle)


def test_regression_from_a_dictionary_and_in_folds(tmp_path: Path) -> None:
    from luban import recipe as recipes

    Regression.demo(None, 150, 0).write_parquet(tmp_path / "rent.parquet")  # type: ignore[arg-type]
    asked = {
        "task": "regression",
        "data": "rent.parquet",
        "target": "rent",
        "training": {"steps": 30},
        "evaluation": {"folds": 3, "draws": 20},
    }
    run = train(recipes.parse(asked, base=tmp_path), runs=tmp_path / "runs")
    assert run.report["protocol"]["folds"] == 3
    assert run.scores["r2"]["value"] > 0.9
    (answer,) = luban.load(run.bundle).predict([{"area": 80.0, "district": "老城", "listed": "2024-02-01"}])
    assert 700 < answer["number"] < 1100


def test_multi_label_tags(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = rng.random((150, 3)) < 0.4
    text = ["".join(word if on else "嗯" for word, on in zip(("红", "绿", "蓝"), row, strict=True)) for row in tags]
    names = ["|".join(np.asarray(["red", "green", "blue"])[row]) for row in tags]
    pl.DataFrame({"text": text, "label": names}).write_csv(tmp_path / "data.csv")
    (tmp_path / "r.toml").write_text(TEXT_RECIPE.format(model="linear").replace('"classification"', '"multi-label-classification"'))
    run = train(tmp_path / "r.toml", sets=('evaluation.metrics=["micro_f1", "auc"]', 'inputs.text="text"'), runs=tmp_path / "runs")
    assert run.scores["micro_f1"]["value"] > 0.9
    assert set(luban.load(run.bundle).predict([{"text": "红绿嗯"}])[0]["tags"]) == {"red", "green"}
