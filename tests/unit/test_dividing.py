"""What a forecast foresees of folds: the rows are read once, and divided, fitted and encoded for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luban.planning import sample as sampling
from luban.planning.sample import Sample, open_sample
from luban.recipe import Recipe, parse
from luban.run import folds
from luban.run.forecasting import plan


def recipe(folder: Path, count: int) -> Recipe:
    rows = "\n".join(f"{n},{n * 7 % 13},{'ab'[n % 2]}" for n in range(90))
    (folder / "rows.csv").write_text(f"x,z,y\n{rows}\n", encoding="utf-8")
    training = {"steps": 2, "threads": 1, "precision": "float32"}
    asked = {"task": "classification", "data": "rows.csv", "target": "y", "model": {"kind": "mlp", "size": "tiny"}, "training": training}
    return parse(asked | {"evaluation": {"folds": count, "draws": 20}}, base=folder)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return open_sample(folds.without_test(recipe(tmp_path, 3)), tmp_path / "runs" / ".prepared")


def test_where_preparing_takes_too_long_nothing_need_be_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where loading Python takes longer than a forecast waits: the folder of runs is not made yet."""
    monkeypatch.setattr(sampling, "prepare_apart", lambda *given: False)
    monkeypatch.setattr(sampling, "QUICK_S", -1.0)
    taken = open_sample(folds.without_test(recipe(tmp_path, 3)), tmp_path / "runs" / ".prepared")
    assert (taken.scale, list((tmp_path / "runs").iterdir())) == (1, [])


def test_each_fold_is_built_and_the_rows_are_read_once(tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, built = [0.0], []
    monkeypatch.setattr(folds.time, "perf_counter", lambda: clock[0])

    def taking(seconds: float, work: Any) -> Any:
        def slow(*given: Any) -> Any:
            clock[0] += seconds
            built.append(seconds)
            return work(*given)

        return slow

    monkeypatch.setattr(folds, "open_source", taking(5.0, folds.open_source))
    monkeypatch.setattr(folds, "build", taking(2.0, folds.build))
    [stage] = folds.dividing(recipe(tmp_path, 3), sample)
    assert (stage.name, stage.seconds, built) == ("divide", pytest.approx(5 + 3 * 2), [5.0, 2.0])


def test_of_many_rows_each_fold_takes_what_preparing_does(tmp_path: Path, sample: Sample) -> None:
    [stage] = folds.dividing(recipe(tmp_path, 3), replace(sample, scale=2000.0, seconds=7.0))
    assert stage.seconds == 21.0


def test_without_folds_nothing_is_divided(tmp_path: Path, sample: Sample) -> None:
    assert folds.dividing(recipe(tmp_path, 0), sample) == []


def test_a_forecast_of_folds_counts_it(tmp_path: Path) -> None:
    names = [stage.name for stage in plan(recipe(tmp_path, 3), runs=tmp_path / "runs").stages]
    assert names[-3:] == ["divide", "folds", "report"]
