"""Seconds of a run are kept over sittings, also of those that died; a budget counts them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from interrupting import at_step

from luban.run import clock
from luban.run.clock import Clock
from luban.run.interruption import Interrupted
from luban.run.pipeline import train
from luban.tasks.classification import Classification


def test_seconds_of_earlier_sittings_count(tmp_path: Path) -> None:
    path = tmp_path / "spent.json"
    with Clock(path):
        time.sleep(0.1)
    assert clock.kept(path, "seconds") >= 0.1
    with Clock(path) as again:
        assert again.seconds >= 0.1
        time.sleep(0.1)
    assert clock.kept(path, "seconds") >= 0.2


def test_a_sitting_that_died_while_it_computed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "TICK_S", 0.01)
    child = os.fork()
    if child == 0:
        with Clock(tmp_path / "spent.json"):
            time.sleep(0.5)
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert clock.kept(tmp_path / "spent.json", "seconds") >= 0.2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seconds": "x"}', '{"seconds": NaN}', '{"seconds": -3}', '{"other": 1}'])
def test_what_cannot_be_read_counts_for_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_text(content)
    assert clock.kept(tmp_path / "spent.json", "seconds") == 0.0


def test_a_resumed_run_has_what_its_budget_leaves_and_keeps_the_baselines_it_had(tmp_path: Path) -> None:
    Classification.demo(None, 230, 0).write_csv(tmp_path / "data.csv")  # type: ignore[arg-type]
    recipe = {
        "task": "classification", "data": str(tmp_path / "data.csv"), "target": "label",
        "model": {"kind": "ngrams", "size": "tiny"}, "evaluation": {"draws": 20},
        "training": {"budget": "1 h", "patience": 0, "precision": "float32"},
    }  # fmt: skip

    with pytest.raises(Interrupted):
        train(recipe, folder=tmp_path / "run", tell=at_step(3))
    (tmp_path / "run" / "spent.json").write_text(json.dumps({"seconds": 3590.0}))  # as if preparing had taken all the time
    shares = []

    def note(event: str, **facts: float) -> None:
        if event == "step":
            shares.append(facts["share"])

    run = train(recipe, folder=tmp_path / "run", tell=note)
    assert [row["name"] for row in run.report["ladder"]] == ["majority", "linear", "boosted", "ngrams"]
    assert not [line for line in run.report["warnings"] if "W331" in line]
    assert run.report["run"]["seconds"] >= 3590
    assert shares[-1] == 1
