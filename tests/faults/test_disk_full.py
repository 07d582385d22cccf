"""A full disk: the older checkpoint is whole, the error says the bytes needed and free, and with space the run goes on to the same bits."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from cases import STEPPED, flat, ready, score

from luban.errors import TrainingError
from luban.training import checkpoints
from luban.training.loop import Trainer

NAMED = r"L320 .*\d+ bytes are needed, \d+ are free"


def tensors(value: float) -> dict[str, torch.Tensor]:
    """Two megabytes."""
    return {"net/weight": torch.full((500_000,), value)}


def test_a_file_larger_than_the_system_allows_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, 1, tensors(1.0), {"step": 1})
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        code = 1
        try:
            checkpoints.save(tmp_path, 2, tensors(2.0), {"step": 2})
        except TrainingError as error:
            code = 42 if error.code == "L320" and "2000" in error.fix else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert (checkpoints.load(tmp_path) or ({}, {}))[1] == {"step": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this user may not mount a disk of 8 MB; the limit on file sizes is tested all the same")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Ballast up to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk_leaves_the_older_checkpoint(small_disk: Path) -> None:
    for step in (1, 2):
        checkpoints.save(small_disk, step, tensors(float(step)), {"step": step})
    ballast = fill(small_disk)
    with pytest.raises(TrainingError, match=NAMED):
        checkpoints.save(small_disk, 3, tensors(3.0), {"step": 3})
    found = checkpoints.load(small_disk)
    assert found is not None
    assert found[1] == {"step": 2}
    assert found[0]["net/weight"].unique().tolist() == [2.0]
    ballast.unlink()
    checkpoints.save(small_disk, 3, tensors(3.0), {"step": 3})
    assert (checkpoints.load(small_disk) or ({}, {}))[1] == {"step": 3}


def test_with_space_again_a_training_comes_to_the_same_bits(small_disk: Path, tmp_path: Path) -> None:
    case = STEPPED["classification-mlp"]
    made, settings = ready(case), case.training(steps=12, validations=6, checkpoint_every_s=1e-6)

    def trainer(folder: Path) -> Trainer:
        return Trainer(made.task, made.examples[0], settings, folder=folder, validate=lambda net: score(made, net))

    whole = trainer(tmp_path / "whole").run()
    trainer(small_disk).run(until=5)
    ballast = fill(small_disk)
    with pytest.raises(TrainingError, match=NAMED):
        trainer(small_disk).run()
    ballast.unlink()
    again = trainer(small_disk).run()
    assert torch.equal(flat(whole.finish()), flat(again.finish()))
    assert (small_disk / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()
