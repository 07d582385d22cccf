"""`luban plan` through the command line on every kind of data; a run that makes its forecast first has the same bits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import pytest
from PIL import Image

from luban import recipe
from luban.cli.main import run as luban
from luban.cli.plan import lines
from luban.energy import Costs
from luban.planning import cheaper, rehearsal, sample
from luban.planning.sample import open_sample
from luban.planning.steps import try_steps
from luban.recipe import given
from luban.run import forecasting
from luban.run.pipeline import train
from luban.tasks.classification import Classification

apart = sample.prepare_apart
SHORT = 1.0  # seconds: a test is no place to be patient


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasting, "WHOLE_S", SHORT)
    monkeypatch.setattr(forecasting, "LEAST_S", SHORT)
    monkeypatch.setattr(sample, "prepare_apart", lambda recipe, folder, patience: bool(sample.prepare(recipe, folder)))


def mixed(folder: Path, rows: int = 211) -> None:
    Classification.demo(None, rows, 0).write_csv(folder / "data.csv")  # type: ignore[arg-type]


def pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(61):
        place = folder / "data" / ("light" if number % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (8, 8, 3)) + 150 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")


def series(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [{"x": (rng.normal(size=5 + i % 7) + i % 2).tolist(), "y": "ab"[i % 2]} for i in range(97)]
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def quantity(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(197, 3))
    pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "price": x.sum(1)}).write_csv(folder / "data.csv")


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "transformer": (mixed, {"data": "data.csv", "target": "label", "model": {"kind": "transformer", "size": "tiny"}}),
    "lstm": (mixed, {"data": "data.csv", "target": "label", "inputs": {"review": "text"}, "model": {"kind": "lstm", "size": "tiny"}}),
    "auto": (mixed, {"data": "data.csv", "target": "label"}),
    "boosted": (mixed, {"data": "data.csv", "target": "label", "model": "boosted"}),
    "pictures": (pictures, {"data": "data", "target": "label", "model": {"kind": "convnet", "size": "tiny"}}),
    "series": (series, {"data": "data.jsonl", "target": "y", "model": {"kind": "lstm", "size": "tiny"}}),
    "regression": (quantity, {"task": "regression", "data": "data.csv", "target": "price", "model": {"kind": "mlp", "size": "tiny"}}),
}


def recipe_in(folder: Path, name: str, **training: Any) -> Path:
    make, values = CASES[name]
    make(folder)
    values = {"task": "classification", "training": {"steps": 20, "precision": "float32", **training}, "evaluation": {"draws": 20}} | values
    recipe.write(recipe.parse(values), folder / "r.toml")
    return folder / "r.toml"


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert luban(["plan", *arguments, "--json"], True) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_run_is_forecast(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = planned(capsys, str(recipe_in(tmp_path, name)))
    assert found["format"] == 1
    assert found["fits"] is True
    assert found["lacking"] == []
    assert found["changes"] == []
    assert 0 < found["first_result_s"] <= found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))
    assert found["peak_bytes"] >= found["base_bytes"] > 50_000_000
    assert found["disk_bytes"] > 1000
    assert found["energy"]["kwh_low"] <= found["energy"]["kwh"] <= found["energy"]["kwh_high"]
    assert found["rows"] == sum(found["splits"].values())
    names = [stage["name"] for stage in found["stages"]]
    assert names[0] == "prepare"
    assert names[-1] == "report"
    if name == "boosted":
        assert found["network"] is None
        assert names.count("solve") == 3
    else:
        network = found["network"]
        assert network["steps"] == 20
        assert network["parameters"] >= network["trained"] > 0
        assert network["parts"]["optimizer"] > network["parts"]["gradients"] > 0
        assert network["parts"]["activations"] == pytest.approx(sum(network["parts"]["groups"].values()), rel=0.01)
        assert (found["lengths"] is None) == (name in ("pictures", "regression"))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".prepared"]


def test_people_read_whether_it_fits_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(price_kwh=0.6, currency="¥")
    path = recipe_in(tmp_path, "transformer", budget="30 s")
    forecast = forecasting.plan(path, runs=tmp_path / "runs", device="h200", count=8, costs=costs)
    text = "\n".join(lines(forecast))
    assert click.unstyle(text).startswith("It fits: ")
    for word in ("first result", "¥", "8 × h200", "estimated, not measured", "activations", "the budget is 30 s"):
        assert word in text
    monkeypatch.setenv("LUBAN_LANG", "zh")
    text = "\n".join(lines(forecast))
    assert click.unstyle(text).startswith("放得下：")
    assert "首个结果" in text
    assert "weights" not in text


def test_what_does_not_fit_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert luban(["plan", str(recipe_in(tmp_path, "regression")), "--memory-gb", "0.001"], False) == 0
    assert capsys.readouterr().out.startswith("It does NOT fit: too little memory (1 MB).")


def test_changes_that_make_it_fit_each_have_a_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit lies between what whole batches take and what quarters do."""
    path = recipe_in(tmp_path, "transformer", batch_size=64)
    monkeypatch.setattr(cheaper, "SHORTEST", 2)
    seen = {}

    def spy(self: Any) -> Any:
        seen["rehearsal"] = self
        return whole_run(self)

    whole_run = rehearsal.Rehearsal.run
    monkeypatch.setattr(rehearsal.Rehearsal, "run", spy)
    forecast = forecasting.plan(path, runs=tmp_path / "runs")
    base, steps = seen["rehearsal"], seen["rehearsal"].steps
    limit = steps.peak_bytes + steps.parts.copies - int(1.2 * steps.parts.activations)
    with monkeypatch.context() as patch:
        patch.setattr(cheaper, "try_steps", lambda *given, **named: shrunk(try_steps(*given, **named), steps))
        training = [
            stage for stage in forecast.stages if stage.name == "train"
        ]  # of the others the peak is the process's, tests before included
        found = cheaper.changes(base, training, lambda m, d: m <= limit, until=1e18)
    assert [change.key for change in found][:2] == ["training.accumulation", "inputs.review.max_length"]
    assert found[0].value == 8
    assert all(change.seconds > 0 and change.peak_bytes <= limit for change in found)


def shrunk(tried: Any, before: Any) -> Any:
    """A small test holds too little for the kernel's marks to show it: the peak falls as activations do."""
    steps, *others = tried
    saved = 1.5 * (before.parts.activations - steps.parts.activations)
    return replace(steps, peak_bytes=int(before.peak_bytes - saved)), *others


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--device", "h20"], "L510"),
        (["--count", "0"], "L191"),
        (["--set", "data=gone.csv"], "L200"),
        (["--set", "training.stepz=1"], "L104"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert luban(["plan", str(recipe_in(tmp_path, "boosted")), *arguments], False) in (2, 3)
    assert code in capsys.readouterr().err


def test_a_large_file_is_sampled_and_its_rows_are_about_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(tmp_path, rows=20_011)
    monkeypatch.setattr(sample, "prepare_apart", lambda recipe, folder, patience: False)
    monkeypatch.setattr(sample, "QUICK_S", -1.0)
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 200_000)
    values = {"task": "classification", "data": str(tmp_path / "data.csv"), "target": "label", "model": "linear"}
    found = open_sample(given(values), tmp_path / "runs" / ".prepared") if (tmp_path / "runs").mkdir() is None else None
    assert found is not None
    assert found.scale > 4
    assert found.prepared.facts["rows"] * found.scale == pytest.approx(20_011, rel=0.05)
    assert not list((tmp_path / "runs").iterdir())
    frame = pl.read_csv(tmp_path / "data.csv")
    frame.write_parquet(tmp_path / "data.parquet")
    size = (tmp_path / "data.parquet").stat().st_size
    monkeypatch.setattr(sample, "SAMPLE_BYTES", size // 8)
    found = open_sample(given(values | {"data": str(tmp_path / "data.parquet")}), tmp_path / "runs" / ".prepared")
    assert found.prepared.facts["rows"] * found.scale == pytest.approx(20_011, rel=0.05)


def test_another_process_prepares_what_this_one_opens(tmp_path: Path) -> None:
    path = recipe_in(tmp_path, "pictures")
    assert apart(given(path), tmp_path / "runs" / ".prepared", 300.0)
    found = open_sample(given(path), tmp_path / "runs" / ".prepared")
    assert (found.scale, found.prepared.facts["rows"]) == (1.0, 61)
    assert not apart(given(path, ("target=gone",)), tmp_path / "runs" / ".prepared", 300.0)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "bundle" / "weights.safetensors").read_bytes()).hexdigest()


def test_a_forecast_moves_no_bit_and_stands_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe_in(tmp_path, "transformer", threads=1)
    plain = train(path, runs=tmp_path / "plain")
    assert not (plain.folder / "plan.json").exists()
    assert plain.report["forecast"]["forecast"] is None
    assert plain.report["forecast"]["actual"]["peak_bytes"] > 50_000_000
    monkeypatch.setattr(forecasting, "LEAST_OWN_S", 0.0)
    monkeypatch.setattr(forecasting, "roughly", lambda *_: 10.0)
    first = train(path, runs=tmp_path / "first")
    assert weights(first.folder) == weights(plain.folder)
    kept = json.loads((first.folder / "plan.json").read_text(encoding="utf-8"))
    assert [stage["name"] for stage in kept["stages"]][:2] == ["prepare", "plan"]
    assert first.report["forecast"]["forecast"]["seconds"] == kept["seconds"]
    assert "Forecast and actual" in (first.folder / "report.html").read_text(encoding="utf-8")
    assert [row["test"] for row in first.report["ladder"]] == [row["test"] for row in plain.report["ladder"]]
