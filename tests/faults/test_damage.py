"""Every flipped bit and every truncation of a checkpoint or a bundle is noticed; the checkpoint before is used, and said."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from cases import STEPPED, flat, ready, score

from luban.bundle import format as layout
from luban.errors import BundleError
from luban.run import train
from luban.training import checkpoints
from luban.training.loop import Trainer

FLIPS, CUTS = 2000, 300
Damage = Callable[[Path, random.Random], None]


def flip(path: Path, rng: random.Random) -> None:
    """One bit."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def cut(path: Path, rng: random.Random) -> None:
    """At least one byte."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def damaged(folder: Path, damage: Damage, count: int) -> Iterator[str]:
    """The folder, one file of it damaged; whole again afterwards."""
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    rng = random.Random(count)
    for number in range(count):
        path = rng.choice(list(whole))
        damage(path, rng)
        yield f"{damage.__name__} {number} of {path.name}"
        folder.mkdir(exist_ok=True)
        for name, content in whole.items():
            name.write_bytes(content)


@pytest.mark.parametrize(("damage", "count"), [(flip, FLIPS), (cut, CUTS)])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(
    damage: Damage, count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, Any], None]
) -> None:
    for step in (1, 2):
        place = checkpoints.save(tmp_path, step, {"net/weight": torch.full((5, 3), float(step))}, {"step": step, "best": 0.5})
    for what in damaged(place, damage, count):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "luban"):
            found = checkpoints.load(tmp_path)
        assert found is not None, what
        assert found[1]["step"] == 1, what
        assert [record.luban["code"] for record in caplog.records] == ["W320"], what  # type: ignore[attr-defined]
        assert (tmp_path / f"damaged-{place.name}").is_dir(), what
        assert not place.exists(), what
    assert (checkpoints.load(tmp_path) or ({}, {}))[1]["step"] == 2
    record_property("damages", count)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    pl.DataFrame({"x": [float(i % 7) for i in range(60)], "y": ["a" if i % 7 > 3 else "b" for i in range(60)]}).write_csv(folder / "d.csv")
    recipe = {"task": "classification", "data": str(folder / "d.csv"), "target": "y", "inputs": {"x": "number"}, "model": "majority"}
    return train(recipe | {"evaluation": {"draws": 20}}, folder=folder / "run").bundle


@pytest.mark.parametrize(("damage", "count"), [(flip, FLIPS), (cut, CUTS)])
def test_a_damaged_bundle_is_refused(damage: Damage, count: int, bundle: Path, record_property: Callable[[str, Any], None]) -> None:
    for what in damaged(bundle, damage, count):
        try:
            layout.open_files(bundle).begin_to_check_weights()()
        except BundleError:
            continue
        pytest.fail(f"not noticed: {what}")
    layout.open_files(bundle).begin_to_check_weights()()
    record_property("damages", count)


def learn(folder: Path, until: int | None = None, worth: float = 1.0) -> Trainer:
    """A short training whose every validation is kept."""
    case = STEPPED["classification-mlp"]
    made, settings = ready(case), case.training(steps=12, validations=6, checkpoint_every_s=1e-6)
    return Trainer(made.task, made.examples[0], settings, folder=folder, validate=lambda net: worth * score(made, net)).run(until=until)


def break_all(folder: Path) -> None:
    """Every checkpoint, but not the best weights beside them."""
    places = list((folder / "checkpoints").glob("step-*"))
    assert len(places) == 2
    for place in places:
        (place / "tensors.safetensors").write_bytes(b"")


def test_with_no_checkpoint_left_the_run_begins_anew_and_comes_to_the_same_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = learn(tmp_path / "whole")
    learn(tmp_path / "cut", until=9)
    break_all(tmp_path / "cut")
    with caplog.at_level(logging.WARNING, "luban"):
        again = learn(tmp_path / "cut")
    assert [record.luban["code"] for record in caplog.records] == ["W320", "W320", "W321"]  # type: ignore[attr-defined]
    assert torch.equal(flat(whole.finish()), flat(again.finish()))
    assert (tmp_path / "whole" / "log.jsonl").read_bytes() == (tmp_path / "cut" / "log.jsonl").read_bytes()


def test_the_best_weights_outlive_all_checkpoints(tmp_path: Path) -> None:
    best = flat(learn(tmp_path).finish())
    break_all(tmp_path)
    poorer = learn(tmp_path, worth=0.5)
    assert poorer.progress.best_score < poorer.apart[0]
    assert torch.equal(flat(poorer.finish()), best)


def test_damaged_best_weights_are_set_aside_and_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    learn(tmp_path, until=9)
    place = tmp_path / "checkpoints" / "best"
    flip(place / "tensors.safetensors", random.Random(0))
    with caplog.at_level(logging.WARNING, "luban"):
        after = learn(tmp_path)
    assert [record.luban["code"] for record in caplog.records] == ["W320"]  # type: ignore[attr-defined]
    found = checkpoints.read(place)
    assert found is not None
    assert found[1] == {"score": after.progress.best_score, "step": after.progress.best_step}
    shutil.rmtree(place)
