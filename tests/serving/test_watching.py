"""Drift is what the counts say: none of rows like those learnt from, much of others; and /metrics says so."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from running import ANYWHERE, running

from luban.bundle import reference
from luban.bundle.format import sign
from luban.bundle.model import Model, load
from luban.cli.monitor import command
from luban.predicting import answers_of
from luban.serving import watching
from luban.serving.app import Service
from luban.serving.prediction_log import PredictionLog
from luban.serving.watching import Watch


@pytest.fixture
def known(shelf: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle with histograms of a thousand rows."""
    place = bundles.copied(shelf["boosted"], tmp_path / "known")
    model, rows = load(place), rows_of(1000, 1)
    columns, answers = model.task.encode(rows), model.answers(rows)
    sketches = reference.sketches(columns) | {"answer": reference.sketch(reference.of_answers(answers, model.task.labels))}
    bundles.edit(place, "fingerprint.json", lambda value: value | {"histograms": sketches})
    sign(place)
    return place


def rows_of(count: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {"x": rng.normal(3 + shift, 2, count), "c": [("Wien", "北京", "上海")[i] for i in rng.choice(3, count, p=(0.5, 0.3, 0.2))]}
    )


def seen(watch: Watch, rows: pl.DataFrame) -> dict[str, tuple[int, float, float]]:
    model = load_of(watch)
    watch.look(model.task.encode(rows), answers_of(model.task, model.net, rows)[0])
    return {name: (count, psi, js) for name, count, psi, js in watch.drift()}


def load_of(watch: Watch) -> Model:
    return watch.model  # type: ignore[attr-defined]


def watched(place: Path) -> Watch:
    model = load(place)
    watch = Watch(model)
    watch.model = model  # type: ignore[attr-defined]
    return watch


def test_rows_like_those_learnt_from_do_not_drift(known: Path) -> None:
    found = seen(watched(known), rows_of(1000, 2))
    assert set(found) == {"x", "c", "answer"}
    assert all(count == 1000 and psi < 0.05 and js < 0.01 for count, psi, js in found.values()), found


def test_other_rows_do(known: Path) -> None:
    found = seen(watched(known), rows_of(1000, 2, shift=2.0))
    assert found["x"][1] > 0.5
    assert found["c"][1] < 0.05


def test_old_rows_are_forgotten(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0)
    monkeypatch.setattr(watching, "WINDOW", 500)
    watch = watched(known)
    assert seen(watch, rows_of(500, 2, shift=4.0))["x"][1] > 1
    seen(watch, rows_of(500, 3))
    found = seen(watch, rows_of(500, 4))
    assert found["x"][0] == 500
    assert found["x"][1] < 0.1


def test_metrics_say_so(known: Path) -> None:
    with running(Service([("boosted", known)], place=ANYWHERE)) as found:
        assert "luban_drift_psi{" not in found.get("/metrics").body.decode()
        found.post("/v1/predict/boosted", {"rows": rows_of(900, 2, shift=9.0).to_dicts()})
        text = found.get("/metrics").body.decode()
    lines = dict(re.findall(r'^(luban_drift_\w+\{column="\w+",model="boosted"\}) (\S+)$', text, re.MULTILINE))
    assert float(lines['luban_drift_rows{column="x",model="boosted"}']) == 900
    assert float(lines['luban_drift_psi{column="x",model="boosted"}']) > 2
    assert float(lines['luban_drift_js{column="x",model="boosted"}']) > 0.5


@pytest.mark.parametrize(
    "value", [None, [1], {"x": 5}, {"x": {"edges": [1], "counts": [1]}}, {"answer": {"codes": ["a"], "counts": [1, 2]}}]
)
def test_what_a_stranger_wrote_is_left_alone(value: object, shelf: dict[str, Path], tmp_path: Path) -> None:
    place = bundles.copied(shelf["boosted"], tmp_path / "known")
    bundles.edit(place, "fingerprint.json", lambda found: found | {"histograms": json.loads(json.dumps(value))})
    sign(place)
    assert seen(watched(place), rows_of(10, 2)) == {}


def logged(known: Path, path: Path, shifts: list[float], **asked: Any) -> None:
    """A service with a log that answers so many times a few hundred rows."""
    log = PredictionLog(path, **({"most_bytes": 10**7, "payload": False} | asked))
    with running(Service([("boosted", known)], place=ANYWHERE, log=log)) as found:
        for number, shift in enumerate(shifts):
            assert found.post("/v1/predict/boosted", {"rows": rows_of(300, number, shift).to_dicts()}).status == 200


def monitored(path: Path, *options: str) -> Any:
    return CliRunner().invoke(command, [str(path), "--json", *options])


def test_the_log_says_what_metrics_say_and_holds_no_cell(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0)
    logged(known, tmp_path / "a.log", [0.0, 0.0])
    logged(known, tmp_path / "b.log", [6.0, 6.0])
    assert "Wien" not in (tmp_path / "a.log").read_text()
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o600
    steady, changed = (json.loads(monitored(tmp_path / name).stdout) for name in ("a.log", "b.log"))
    assert {row["column"]: (row["rows"], row["verdict"]) for row in steady} == dict.fromkeys(("x", "c", "answer"), (600, "steady"))
    assert {row["column"]: row["verdict"] for row in changed}["x"] == "changed"
    assert monitored(tmp_path / "a.log", "--above", "0.2").exception is None
    assert getattr(monitored(tmp_path / "b.log", "--above", "0.2").exception, "code", "") == "L281"


def test_the_log_is_bounded_and_what_is_left_can_be_read(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0)
    path = tmp_path / "a.log"
    logged(known, path, [0.0] * 40, most_bytes=100_000, payload=True)
    sizes = [file.stat().st_size for file in tmp_path.glob("a.log*")]
    assert len(sizes) == 2
    assert sum(sizes) <= 100_000
    entry = json.loads(path.read_text().splitlines()[-1])
    assert len(entry["inputs"][0]["x"]) == len(entry["answers"][0]) == 300
    path.write_bytes(path.read_bytes()[:-50] + b'\n{}\n[]\n{"model": 1}\n\xff\n')
    assert json.loads(monitored(path).stdout)[0]["rows"] >= 300


def test_without_a_log_there_is_a_code(tmp_path: Path) -> None:
    assert getattr(monitored(tmp_path / "none.log").exception, "code", "") == "L280"
