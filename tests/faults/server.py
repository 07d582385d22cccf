"""The fork-server: imports torch and Luban once, then forks a process for each sitting, and kills it at a random instant.

It reads one JSON line a request and answers with one; it computes nothing itself, so that what it forks is clean.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "contract"), str(HERE.parents[1])]
os.environ |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "LUBAN_LANG": "en"}

import torch

torch.set_num_threads(1)

import jinja2  # noqa: F401
import PIL.Image  # noqa: F401
import sitting
import sklearn.linear_model  # noqa: F401
from families import FAMILIES
from torch.utils.flop_counter import FlopCounterMode

from luban import catalog, recipe
from luban.training import optimizers
from luban.training.settings import Training

LONGEST_S = 120.0


def serve() -> None:
    """Answer requests until the other end closes."""
    warm()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"found": {"kill": kill_runs}[request.pop("do")](**request)}
        except Exception:  # noqa: BLE001 the other end shows it
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


def warm() -> None:
    """Import and cache what every sitting needs."""
    for name in catalog.entries("models"):
        catalog.load("models", name)
    for family in FAMILIES:
        recipe.parse(family.recipe(HERE))
    net = torch.nn.Linear(2, 2)
    optimizer = optimizers.build(net, Training(learning_rate=0.1), "")
    with FlopCounterMode(display=False):
        net(torch.zeros(1, 2)).sum().backward()
    optimizer.step()


def kill_runs(name: str, folder: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill runs of a family until so many kills are counted; every run is then finished and must equal the uninterrupted one."""
    place, rng = Path(folder), random.Random(f"{name} {seed}")
    begun = time.monotonic()
    ended = fork(lambda: sitting.sit(name, made(place / "whole" / "run")), place)
    seconds = time.monotonic() - begun
    if ended != 0:
        raise RuntimeError(f"the uninterrupted run ended with {ended}: {(place / 'errors.txt').read_text()}")
    whole = sitting.outcome(name, place / "whole" / "run")
    count, runs, differing, stages = 0, 0, {}, Counter()
    while count < kills or (place / f"cut-{runs}").exists():
        run = place / f"cut-{runs}" / "run"
        delay = rng.uniform(0, seconds) if count < kills else LONGEST_S
        ended = fork(lambda run=run: sitting.sit(name, made(run)), place, delay)
        if ended == -signal.SIGKILL:
            count += 1
            stages[sitting.stage(run)] += 1
            continue
        if ended != 0:
            raise RuntimeError(f"a resumed run ended with {ended}: {(place / 'errors.txt').read_text()}")
        cut = sitting.outcome(name, run)
        differing |= {key: [runs, short(whole.get(key)), short(cut.get(key))] for key in whole | cut if whole.get(key) != cut.get(key)}
        runs += 1
    return {"kills": count, "runs": runs, "differing": differing, "stages": stages}


def made(folder: Path) -> Path:
    """The folder, with those above it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def short(value: Any) -> str:
    """As much as a message holds."""
    return json.dumps(value)[:4000]


def fork(work: Callable[[], Any], errors: Path, delay: float = LONGEST_S) -> int:
    """Do the work in a process of its own, killed after the delay; its exit code, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 nothing of the server may go on here
            (errors / "errors.txt").write_text(traceback.format_exc())
        finally:
            os._exit(code)
    until = time.monotonic() + delay
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    serve()
