"""The k-th call that writes fails, or the process dies there, for every k: the old state stands or the new one, nothing half under its name."""

from __future__ import annotations

import ctypes
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from failing import every_call
from killing import Ask

from luban.bundle.model import load as open_bundle
from luban.bundle.write import write as write_bundle
from luban.columns import Columns
from luban.data import store
from luban.errors import TrainingError
from luban.files import whole_folder, write_whole
from luban.run import Run, train
from luban.training import checkpoints

both = pytest.mark.parametrize("die", [False, True], ids=["fails", "dies"])
WRITING = {"open", "write", "fsync"}


def emptied(folder: Path) -> Path:
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def seen(folder: Path) -> set[str]:
    """The names in a folder; what begins with a dot is not yet, or no more, under its name."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@both
@pytest.mark.parametrize("before", [None, b"old" * 9000])
def test_a_file_is_old_or_new(before: bytes | None, die: bool, tmp_path: Path) -> None:
    path, after = tmp_path / "x" / "file.json", b"new" * 9000

    def begin() -> None:
        emptied(path.parent)
        if before:
            path.write_bytes(before)

    def check(call: str) -> None:
        assert (path.read_bytes() if path.exists() else None) in (before, after), call
        assert seen(path.parent) <= {path.name}, call

    names = every_call(lambda: write_whole(path, after), begin, check, die=die)
    assert die or set(names) >= {*WRITING, "replace"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == after


@both
@pytest.mark.parametrize("before", [False, True])
def test_a_folder_is_old_or_new(before: bool, die: bool, tmp_path: Path) -> None:
    place = tmp_path / "x" / "folder"

    def fill(word: bytes) -> None:
        with whole_folder(place) as beside:
            for name in ("a", "b"):
                (beside / name).write_bytes(word * 999)

    def begin() -> None:
        emptied(place.parent)
        if before:
            fill(b"old")

    def check(call: str) -> None:
        found = {path.name: path.read_bytes()[:3] for path in place.iterdir()} if place.exists() else None
        assert found in ({"a": b"old", "b": b"old"} if before else None, {"a": b"new", "b": b"new"}), call
        assert seen(place.parent) <= {"folder"}, call

    names = every_call(lambda: fill(b"new"), begin, check, die=die)
    assert die or set(names) >= {*WRITING, "mkdir"}
    fill(b"new")
    assert [path.name for path in place.parent.iterdir()] == ["folder"]


def test_where_the_system_cannot_exchange_folders_the_new_one_still_replaces_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    for word in (b"old", b"new"):
        with whole_folder(tmp_path / "folder") as beside:
            (beside / "a").write_bytes(word)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "a").read_bytes() == b"new"


@both
def test_of_checkpoints_the_last_or_the_one_before_is_loaded(die: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "checkpoints"

    def save(step: int) -> None:
        checkpoints.save(folder, step, {"net/weight": torch.full((31,), float(step))}, {"step": step})

    def begin() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for step in (1, 2):
            save(step)

    def check(call: str) -> None:
        found = checkpoints.load(folder)
        assert found is not None, call
        assert found[1]["step"] in (2, 3), call
        assert found[0]["net/weight"].tolist() == [found[1]["step"]] * 31, call

    with caplog.at_level(logging.WARNING, "luban"):
        names = every_call(lambda: save(3), begin, check, die=die)
    assert die or set(names) >= {*WRITING, "mkdir", "rename"}
    assert not caplog.records, "something half stood under its name"
    assert seen(folder) == {"step-000000002", "step-000000003"}


def test_a_failing_disk_is_a_named_error_with_bytes(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(TrainingError, match=r"L320.* \d+ bytes are needed, \d+ are free"):
        checkpoints.save(tmp_path / "checkpoints", 1, {"net/weight": torch.zeros(3)}, {})


@both
def test_a_store_is_old_or_new(die: bool, tmp_path: Path) -> None:
    place = tmp_path / "x" / "key"

    def write(number: int) -> None:
        columns = Columns({"a": np.full(17, number), "b": np.arange(17.0)}, np.arange(17), np.arange(17))
        store.write(place, {"train": columns}, {"n": number})

    def begin() -> None:
        emptied(place.parent)
        write(1)

    def check(call: str) -> None:
        splits, facts = store.read(place)
        assert facts["n"] in (1, 2), call
        assert set(np.asarray(splits["train"]["a"]).tolist()) == {facts["n"]}, call

    names = every_call(lambda: write(2), begin, check, die=die)
    assert die or set(names) >= {*WRITING, "mkdir"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("done")
    pl.DataFrame({"x": [float(i % 7) for i in range(60)], "y": ["a" if i % 7 > 3 else "b" for i in range(60)]}).write_csv(folder / "d.csv")
    recipe = {"task": "classification", "data": str(folder / "d.csv"), "target": "y", "inputs": {"x": "number"}, "model": "majority"}
    return train(recipe | {"evaluation": {"draws": 20}}, folder=folder / "run")


def test_a_bundle_is_old_or_new(done: Run, tmp_path: Path) -> None:
    place = tmp_path / "x" / "bundle"
    model = open_bundle(done.bundle)
    rows, known = pl.DataFrame({"x": [1.0, 5.0]}), json.loads((done.bundle / "fingerprint.json").read_bytes())

    def begin() -> None:
        emptied(place.parent)
        shutil.copytree(done.bundle, place)

    def check(call: str) -> None:
        golden = (place / "golden.jsonl").read_text().splitlines()
        open_bundle(place)
        assert len(golden) in (len((done.bundle / "golden.jsonl").read_text().splitlines()), len(rows)), call

    names = every_call(
        lambda: write_bundle(place, done.recipe, model.task, model.net, report=done.report, rows=rows, fingerprint=known),
        begin,
        check,
        die=False,
    )
    assert set(names) >= {*WRITING, "mkdir"}
    assert len((place / "golden.jsonl").read_text().splitlines()) == len(rows)


def test_a_log_cut_short_by_somebody_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from luban.training.log import Log, curves

    log = Log(tmp_path)
    for step in range(9):
        log.add(step=step, losses={"loss": 0.5})
    whole = log.flush()
    (tmp_path / "log.jsonl").write_bytes((tmp_path / "log.jsonl").read_bytes()[: whole // 2])
    with caplog.at_level(logging.WARNING, "luban"):
        log.cut(whole)
    assert "W322" in caplog.text
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))
    assert len(curves(tmp_path / "log.jsonl")["train"]) == len(lines)


SOME = [(False, 11), (True, 13)]
ALL = [pytest.param(die, 1, marks=pytest.mark.slow) for die in (False, True)]


@pytest.mark.parametrize(("die", "every"), [*SOME, *ALL])
def test_a_whole_run_goes_on_after_any_failing_call(
    die: bool, every: int, ask: Ask, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    found = ask(do="fail", name="lasting", folder=str(tmp_path), die=die, every=every)
    assert found["differing"] == {}
    assert len(found["calls"]) >= 3
    record_property("faults", sum(found["calls"].values()))
