"""A file larger than the memory allowed is prepared within it, and a kill in the middle leaves nothing that passes for whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ALLOWED = 1_000_000_000
ROWS, LOT = 1_500_000, 1500  # about 150 MB
COLUMNS = [f"x{i}" for i in range(8)]
RECIPE = """
task = "classification"
data = "d.csv"
target = "label"
[inputs]
city = "category"
x0 = "number"
x1 = "number"
[training]
memory = "1 GB"
"""
PREPARE = """
import json
from pathlib import Path
import torch, sklearn.linear_model, luban.run.pipeline
from luban.recipe import read
from luban.data.prepare import prepare
def peak():  # not ru_maxrss: that begins with the peak of the process that started this one
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
found = prepare(read("r.toml"), Path("prepared"))
print(json.dumps({"before": before, "peak": peak(), "rows": found.facts["rows"], "splits": found.facts["splits"]}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 million rows of numbers, names and a label."""
    place, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    lines = [
        ",".join(f"{value:.5f}" for value in rng.normal(0, 9, len(COLUMNS)))
        + f",{('杭州', 'Wien, Neubau')[i % 2]!r},{('good', 'bad')[i % 3 % 2]}\n"
        for i in range(LOT)
    ]
    body = "".join(lines).replace("'", '"')
    with (place / "d.csv").open("w", encoding="utf-8") as file:
        file.write(",".join([*COLUMNS, "city", "label"]) + "\n")
        for _ in range(ROWS // LOT):
            file.write(body)
    (place / "r.toml").write_text(RECIPE, encoding="utf-8")
    return place


def prepare(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", PREPARE], cwd=folder, stdout=subprocess.PIPE, text=True, env=environment)


def test_preparing_stays_within_the_memory_allowed(folder: Path) -> None:
    assert (folder / "d.csv").stat().st_size > 110_000_000
    out, _ = prepare(folder).communicate(timeout=300)
    found = json.loads(out)
    assert found["peak"] < ALLOWED
    assert found["peak"] - found["before"] < 400_000_000  # read at once, it is 720 MB
    assert sum(found["splits"].values()) == found["rows"] == ROWS


def test_a_kill_leaves_nothing_that_passes_for_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").symlink_to(folder / "d.csv")
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    process = prepare(tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("prepared/.*.stream/train.*.npy")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.glob("prepared/.*.stream/train.*.npy"))
    assert not list(tmp_path.glob("prepared/**/store.json"))
    assert not list(tmp_path.glob("prepared/*.json"))
