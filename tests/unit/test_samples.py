"""The sample that a forecast prepares where the whole takes too long: what only the first time takes is not carried on to all rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from luban.data.prepare import Prepared
from luban.errors import LubanError
from luban.planning import sample
from luban.recipe import Recipe, parse

LOADING, EACH = 5.0, 1e-3  # seconds


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    rng = np.random.default_rng(0)
    pl.DataFrame({"x": rng.normal(size=20_000), "y": rng.choice(["a", "b"], 20_000)}).write_csv(tmp_path / "table.csv")
    return parse({"task": "classification", "data": "table.csv", "target": "y"}, base=tmp_path)


@pytest.mark.parametrize(("few", "more"), [(40_000, 80_000), (40_000, 50_000)])
def test_libraries_are_loaded_once_whatever_the_rows(
    few: int, more: int, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rows, real = [0.0], list[int](), sample.prepare

    def prepare(*given: Any) -> Prepared:
        made = real(*given)
        rows.append(made.facts["rows"])
        clock[0] += LOADING * (len(rows) == 1) + EACH * rows[-1]
        return made

    monkeypatch.setattr(sample, "prepare", prepare)
    monkeypatch.setattr(sample, "FEW_BYTES", few)
    monkeypatch.setattr(sample, "SAMPLE_BYTES", more)
    monkeypatch.setattr(sample, "MORE_S", 1000.0)
    monkeypatch.setattr(sample.time, "perf_counter", lambda: clock[0])
    found = sample.part(recipe, tmp_path / "plan")
    assert rows[0] < rows[1] < 20_000
    assert found.scale == pytest.approx(20_000 / rows[1], rel=0.01)
    assert found.seconds == pytest.approx(LOADING + EACH * 20_000, rel=0.1)
    assert found.prepared.recipe.data == recipe.data


def test_a_slow_first_sample_makes_a_small_second_one(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "FEW_BYTES", 40_000)
    monkeypatch.setattr(sample, "MORE_S", 0.0)
    found = sample.part(recipe, tmp_path / "plan")
    assert found.prepared.facts["rows"] == pytest.approx(20_000 / found.scale, rel=0.01)
    assert found.prepared.facts["rows"] < 3000


def test_what_is_no_larger_than_a_sample_is_whole(recipe: Recipe, tmp_path: Path) -> None:
    found = sample.part(recipe, tmp_path / "plan")
    assert (found.scale, found.prepared.facts["rows"]) == (1.0, 20_000)


def test_of_all_files_the_same_share_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, rows in (("train", 20_000), ("test", 5_000)):
        pl.DataFrame({"x": rng.normal(size=rows), "y": rng.choice(["a", "b"], rows)}).write_csv(tmp_path / f"{name}.csv")
    data = {"train": "train.csv", "test": "test.csv"}
    recipe = parse({"task": "classification", "data": data, "target": "y"}, base=tmp_path)
    taken = sample.sampled(recipe, tmp_path / "some", 100_000)
    kept = {part: len(pl.read_csv(path)) for part, path in taken.recipe.data.items()}
    assert kept["train"] / kept["test"] == pytest.approx(4, rel=0.05)
    assert taken.scale == pytest.approx(20_000 / kept["train"], rel=0.05)


def test_what_takes_long_by_a_sample_is_not_waited_for(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = pl.read_csv(tmp_path / "table.csv")
    pl.concat([rows.head(10)] * 2000).write_csv(tmp_path / "table.csv")  # rows that repeat others: there is something to say
    monkeypatch.setattr(sample, "FEW_BYTES", 40_000)
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 80_000)
    monkeypatch.setattr(sample, "prepare_apart", lambda *_: pytest.fail("waited"))
    monkeypatch.setattr(sample, "QUICK_S", 0.0)
    found = sample.open_sample(recipe, tmp_path / "runs" / ".prepared")
    assert found.scale > 4
    said = [record.luban for record in caplog.records if hasattr(record, "luban")]
    assert "W249" in {facts["code"] for facts in said}
    assert said == found.prepared.facts["warnings"]  # each once, though two samples were prepared


def test_what_is_wrong_is_said_of_the_users_file(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "FEW_BYTES", 40_000)
    with pytest.raises(LubanError) as caught:
        sample.open_sample(replace(recipe, target="gone"), tmp_path / "runs" / ".prepared")
    assert ".plan" not in caught.value.line()


@pytest.mark.parametrize("quick", [True, False])
def test_a_large_file_that_no_sample_can_be_read_of_is_refused_as_ever(
    quick: bool, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "QUICK_S", 60.0 if quick else -1.0)
    (tmp_path / "table.parquet").write_bytes(b"PAR1" + bytes(50_000))
    monkeypatch.setattr(sample, "FEW_BYTES", 40_000)
    with pytest.raises(LubanError) as caught:
        sample.open_sample(replace(recipe, data="table.parquet"), tmp_path / "runs" / ".prepared")
    assert caught.value.code == "L204"
    assert ".plan" not in caught.value.line()
