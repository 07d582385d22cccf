"""The sample that a forecast prepares where the whole takes too long: what only the first time takes is not carried on to all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from luban.data.prepare import Prepared
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
