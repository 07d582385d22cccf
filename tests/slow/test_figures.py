"""Floors on real data: well below the figures the docs state, so that a fault shows and chance does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban import examples, recipe
from luban.run import train

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
FLOORS = {
    "iris": ("accuracy", 0.94),
    "digits": ("accuracy", 0.97),
    "adult": ("auc", 0.92),
    "reviews-zh": ("accuracy", 0.84),
    "mnist": ("accuracy", 0.985),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOORS)
def test_real_data_stays_above_its_floor(name: str, tmp_path: Path) -> None:
    metric, floor = FLOORS[name]
    base = SHARED
    if name in ("iris", "digits"):
        base = tmp_path
        examples.fetch(name, tmp_path / name)
    elif not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not beside the repository, in ../shared/data")
    asked = recipe.replace_base(recipe.read(ROOT / "recipes" / f"{name}.toml"), base)
    assert train(asked, runs=tmp_path / "runs").scores[metric]["value"] >= floor


@pytest.mark.slow
def test_shakespeare_is_foretold(tmp_path: Path) -> None:
    if not (SHARED / "shakespeare").is_dir():
        pytest.skip("shakespeare is not beside the repository, in ../shared/data")
    asked = recipe.replace_base(recipe.read(ROOT / "recipes" / "shakespeare.toml"), SHARED)
    assert train(asked, runs=tmp_path / "runs").scores["nats_per_token"]["value"] <= 1.7
