"""SIGTERM and Ctrl-C save and leave with 143 and 130; a second trainer is refused; both with real processes too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from killing import Ask

from luban.run import train
from luban.run.interruption import Interrupted

PROMISED_S = 30


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mlp", 3),
        ("transformer", 3),
        *(pytest.param(name, 10, marks=pytest.mark.slow) for name in ("ngrams", "lstm", "convnet", "resnet", "auto")),
    ],
)
def test_interrupted_at_random_steps_a_run_comes_to_the_same_bits(
    name: str, count: int, ask: Ask, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    found = ask(do="signal", name=name, folder=str(tmp_path), count=count, seed=0)
    for number, code, step, saved in found["ended"]:
        assert code == 128 + number
        assert saved == step, "the checkpoint is of the step at which the signal came"
    assert found["differing"] == {}
    record_property("signals", count)


def write_recipe(folder: Path) -> Path:
    """More steps than anybody waits for."""
    rows = [{"x": float(i % 11), "y": "a" if i % 11 > 4 else "b"} for i in range(120)]
    pl.DataFrame(rows).write_csv(folder / "d.csv")
    (folder / "r.toml").write_text(
        'task = "classification"\ndata = "d.csv"\ntarget = "y"\nmodel = {kind = "mlp", size = "tiny"}\n'
        '[inputs]\nx = "number"\n[training]\nsteps = 10000000\npatience = 0\nvalidations = 1\nprecision = "float32"\ncheckpoint_every_s = 0.1\n'
        "[evaluation]\nbaselines = false\n"
    )
    return folder / "r.toml"


def test_the_second_signal_leaves_at_once(tmp_path: Path) -> None:
    told = []

    def tell(event: str, **facts: object) -> None:
        told.append(event)
        if event == "step":
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            told.append("went on")

    with pytest.raises(Interrupted) as caught:
        train(write_recipe(tmp_path), folder=tmp_path / "run", tell=tell)
    assert caught.value.exit_code == 143
    assert told[-1] == "step"


def start(folder: Path) -> subprocess.Popen[str]:
    """`luban train` in a process of its own."""
    command = [sys.executable, "-c", "import sys; from luban.cli.main import main; main(sys.argv[1:])"]
    return subprocess.Popen(
        [*command, "train", str(folder / "r.toml"), "--run", str(folder / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def newest(folder: Path) -> str:
    """The name of the newest checkpoint."""
    return max((path.name for path in folder.glob("run/checkpoints/step-*")), default="")


def wait_for_a_checkpoint(folder: Path, after: str, process: subprocess.Popen[str]) -> None:
    """Until there is one that was not there before."""
    while process.poll() is None:
        if newest(folder) > after:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def test_two_trainers_and_both_signals_with_real_processes(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = newest(tmp_path)
        first = start(tmp_path)
        try:
            wait_for_a_checkpoint(tmp_path, before, first)
            if number == signal.SIGTERM:
                _, said = (second := start(tmp_path)).communicate(timeout=120)
                assert second.returncode == 4
                assert "L331" in said
                assert f"pid {first.pid} on {socket.gethostname()}" in said
            first.send_signal(number)
            _, said = first.communicate(timeout=PROMISED_S)
            assert first.returncode == code, said
        finally:
            first.kill()
    assert "resuming at step" in said
