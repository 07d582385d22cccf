"""Real pairs within their budgets: the echo copies everything, translation beats its table of words, summaries their lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban import examples
from luban.errors import MachineError
from luban.recipe import read
from luban.run import train

pytestmark = pytest.mark.slow


def test_the_echo_recipe_copies_two_hundred_of_two_hundred(tmp_path: Path) -> None:
    run = train(examples.fetch("echo", tmp_path / "echo"), runs=tmp_path / "runs")
    row = run.report["ladder"][-1]
    assert row["parameters"] == 173_608
    assert row["test"]["chrf"]["value"] == 100.0


@pytest.mark.parametrize(("name", "metric", "margin"), [("en-fr", "chrf", 10.0), ("synopses", "rouge_1", 0.0)])
def test_the_network_beats_its_baseline(name: str, metric: str, margin: float, tmp_path: Path) -> None:
    """30 minutes each."""
    try:
        recipe = read(examples.fetch(name, tmp_path / name))
    except MachineError as error:
        pytest.skip(f"the archive is out of reach: {error}")
    ladder = train(recipe, runs=tmp_path / "runs").report["ladder"]
    assert ladder[-1]["test"][metric]["low"] >= ladder[0]["test"][metric]["high"] + margin
