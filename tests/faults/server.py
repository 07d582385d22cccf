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

import jinja2  # noqa: F401
import PIL.Image  # noqa: F401
import sitting
import sklearn.linear_model  # noqa: F401
import torch
from failing import MOST, Fault
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
            answer = {"found": {"kill": kill_runs, "fail": fail_runs, "signal": signal_runs}[request.pop("do")](**request)}
        except Exception:  # noqa: BLE001 the other end shows it
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


def warm() -> None:
    """Import and cache what every sitting needs."""
    torch.set_num_threads(1)
    for name in catalog.entries("models"):
        catalog.load("models", name)
    for family in FAMILIES:
        recipe.parse(family.recipe(Path.cwd()))
    net = torch.nn.Linear(2, 2)
    optimizer = optimizers.build(net, Training(learning_rate=0.1), "")
    with FlopCounterMode(display=False):
        net(torch.zeros(1, 2)).sum().backward()
    optimizer.step()


def kill_runs(name: str, folder: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill runs of a family until so many kills are counted; every run is then finished and must equal the uninterrupted one."""
    place, rng = Path(folder), random.Random(f"{name} {seed}")
    begun = time.monotonic()
    whole = finish(name, place, "whole")
    seconds = time.monotonic() - begun
    count, runs, differing, stages = 0, 0, {}, Counter()
    while count < kills:
        run = made(place / f"cut-{runs}" / "run")
        ended = fork(lambda run=run: sitting.sit(name, run), place, rng.uniform(0, seconds))
        if ended == -signal.SIGKILL:
            count += 1
            stages[sitting.stage(run)] += 1
        if ended != -signal.SIGKILL or count == kills:
            differing |= compare(whole, finish(name, place, run.parent.name), runs)
            runs += 1
    return {"kills": count, "runs": runs, "differing": differing, "stages": stages}


def fail_runs(name: str, folder: str, die: bool, every: int) -> dict[str, Any]:
    """Let the k-th call of a run that writes fail, or the process die there, for each k or every so many; then go on."""
    place, differing, calls = Path(folder), {}, Counter()
    whole = finish(name, place, "whole")
    for k in range(1, MOST, every):
        run = made(place / f"cut-{k}" / "run")
        fork(lambda k=k, run=run: sitting.sit_failing(name, run, Fault(k, die)), place)
        if not (failed := (run.parent / "failed.txt")).exists():
            return {"calls": calls, "differing": differing}
        calls[failed.read_text()] += 1
        differing |= compare(whole, finish(name, place, run.parent.name), k)
    raise RuntimeError("the run never passes")


def signal_runs(name: str, folder: str, count: int, seed: int) -> dict[str, Any]:
    """Interrupt a run at random steps by SIGTERM or Ctrl-C, then go on; what each sitting ended with, and the steps."""
    place, rng = Path(folder), random.Random(f"{name} {seed}")
    whole, ended, differing = finish(name, place, "whole"), [], {}
    for number in range(count):
        run = made(place / f"cut-{number}" / "run")
        step, sent = rng.randint(1, sitting.steps_of(whole) - 1), rng.choice((signal.SIGTERM, signal.SIGINT))
        code = fork(lambda run=run, step=step, sent=sent: sitting.sit_signalled(name, run, step, sent), place)
        ended.append([int(sent), code, step, sitting.newest(run)])
        differing |= compare(whole, finish(name, place, run.parent.name), number)
    return {"ended": ended, "differing": differing}


def finish(name: str, place: Path, title: str) -> dict[str, Any]:
    """The same command, until the end; what came of it."""
    run = made(place / title / "run")
    if ended := fork(lambda: sitting.sit(name, run), place):
        raise RuntimeError(f"{title} ended with {ended}: {(place / 'errors.txt').read_text()}")
    return sitting.outcome(name, run)


def compare(whole: dict[str, Any], cut: dict[str, Any], number: int) -> dict[str, Any]:
    """What differs, in the run of this number."""
    return {key: [number, short(whole.get(key)), short(cut.get(key))] for key in whole | cut if whole.get(key) != cut.get(key)}


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
            code = work() or 0
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
