"""Several processes under torchrun: the same losses as one that cuts its steps; one dies, the same command goes on with fewer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
task = "classification"
data = "points.csv"
target = "side"
[inputs]
a = "number"
b = "number"
[model]
kind = "mlp"
size = "tiny"
[training]
batch_size = 20
threads = 1
precision = "float32"
patience = 0
[evaluation]
baselines = false
"""
ROWS, BATCH, EPOCHS = 500, 20, 30  # 400 train: 20 steps an epoch
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "luban", "train", "points.toml")

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to tell the ranks apart")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    draw = random.Random(0)
    points = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(ROWS)]
    lines = [f"{a:.4f},{b:.4f},{'same' if a * b > 0 else 'other'}" for a, b in points]
    (tmp_path / "points.csv").write_text("\n".join(["a,b,side", *lines]), encoding="utf-8")
    (tmp_path / "points.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "LUBAN_LANG": "en"}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def steps(place: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (place / "runs" / "points" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "losses" in line]


def test_two_ranks_have_the_losses_of_two_micro_batches(place: Path) -> None:
    process = start(place, *TORCHRUN, "--set", "training.epochs=3")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.count("bundle:") == 1, "only the first rank speaks"
    ranks = steps(place)
    (place / "runs").rename(place / "ranks")
    process = start(place, "-m", "luban", "train", "points.toml", "--set", "training.epochs=3", "--set", "training.accumulation=2")
    process.communicate(timeout=200)
    assert process.returncode == 0
    alone = steps(place)
    assert [line["step"] for line in ranks] == [line["step"] for line in alone] == list(range(1, 61))
    assert [line["losses"]["loss"] for line in ranks] == pytest.approx([line["losses"]["loss"] for line in alone], rel=1e-4)  # type: ignore[index]


def rank_of(pid: int) -> str:
    try:
        found = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((part[5:].decode() for part in found if part.startswith(b"RANK=")), "")


def test_a_rank_is_killed_and_one_process_goes_on(place: Path) -> None:
    sets = ("--set", f"training.epochs={EPOCHS}", "--set", "training.checkpoint_every_s=0.05")
    process = start(place, *TORCHRUN, *sets)
    log, limit = place / "runs" / "points" / "log.jsonl", time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size > 5000):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.02)
    (child,) = (
        int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() if rank_of(int(pid)) == "1"
    )
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    stopped = len(steps(place))
    assert 0 < stopped < EPOCHS * ROWS * 0.8 / BATCH, "it was over before it was killed"

    process = start(place, "-m", "luban", "train", "points.toml", *sets)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "W330" in err
    assert "ranks" in err
    whole = steps(place)
    assert [line["step"] for line in whole] == list(range(1, EPOCHS * 20 + 1))
    assert [line["epoch"] for line in whole] == [epoch for epoch in range(EPOCHS) for _ in range(20)], "each row once an epoch"
