"""One sitting of a run, and what is left of a finished one: both in a process that may die at any time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from cases import CASES, flat, prepare, score
from failing import Fault, failing
from families import BY_NAME
from interrupting import at_step

from luban.run import train
from luban.run.interruption import Interrupted
from luban.run.pipeline import silent
from luban.training.loop import Trainer
from luban.training.solving import solve

TIMES = {"created", "seconds", "fit_seconds", "forecast"}
TIMED = {"plan.json"}  # written where the clock says that a forecast pays


def sit(name: str, folder: Path, tell: Callable[..., None] = silent) -> None:
    """Run to the end: a family's whole run, or a toy's training."""
    torch.set_num_threads(1)
    torch.rand(len(str(folder)))  # another process stands elsewhere in its generator
    if family := BY_NAME.get(name):
        place = folder.parents[1]
        if not (place / family.data).exists():
            family.write(place)
        train(family.recipe(place), folder=folder, tell=tell)
    else:
        play(name, folder)


def sit_failing(name: str, folder: Path, fault: Fault) -> None:
    """A sitting in which one call fails; which one is written down beside the folder."""
    fault.note = folder.with_name("failed.txt")
    with failing(fault):
        sit(name, folder)


def sit_signalled(name: str, folder: Path, step: int, number: int) -> int:
    """A sitting that gets a signal after a step; the exit code its end asks for."""
    try:
        sit(name, folder, at_step(step, number))
    except Interrupted as left:
        return left.exit_code
    return 0


def steps_of(found: dict[str, Any]) -> int:
    """Steps of a finished run."""
    return found["log.jsonl"].count('"losses"')


def newest(folder: Path) -> int:
    """The step of the newest checkpoint."""
    return max((int(path.name[5:]) for path in folder.glob("checkpoints/step-*")), default=0)


def play(name: str, folder: Path) -> None:
    """Train a toy; its weights are written last."""
    case = CASES[name]
    made = prepare(case)
    torch.manual_seed(0)
    if case.solved:
        net = made.task.build()
        solve(made.task, net, made.examples[0], seed=0, folder=folder / "checkpoints", tell=lambda *_, **__: None)
    else:
        settings = case.training(steps=40, validations=8, patience=5, ema=0.9, accumulation=2, checkpoint_every_s=0.01)
        trainer = Trainer(made.task, made.examples[0], settings, folder=folder, validate=lambda net: score(made, net))
        net = trainer.run().finish()
        (folder / "progress.json").write_text(json.dumps({"best": trainer.progress.best_step, "step": trainer.progress.step}))
    torch.save(flat(net), folder / "weights.pt")


def outcome(name: str, folder: Path) -> dict[str, Any]:
    """All of a finished run that must not differ, times excluded."""
    if name not in BY_NAME:
        files = ("weights.pt", "log.jsonl", "progress.json")
        return contents(folder, files)
    kept = ["log.jsonl", "rejects.jsonl", "asked.json", "recipe.toml"]
    kept += [f"bundle/{file}" for file in ("weights.safetensors", "state.json", "luban.json", "golden.jsonl")]
    found = contents(folder, kept)
    found["folds"] = [path.read_text() for path in sorted(folder.glob("folds/*/log.jsonl"))]
    found["report"] = timeless(json.loads((folder / "report.json").read_text()))
    lines = (folder / "messages.jsonl").read_text().splitlines() if (folder / "messages.jsonl").is_file() else []
    found["messages"] = sorted({json.loads(line)["code"] for line in lines})
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "step-" not in str(path))
    found["names"] = sorted(name for name in names if name not in TIMED)
    return found


def stage(folder: Path) -> str:
    """How far a killed run was, by what lies in its folder."""
    if any(folder.rglob(".*.part")):
        return "writing"
    if (folder / "bundle").is_dir():
        return "report"
    if any(folder.glob("checkpoints/step-*")):
        return "training or evaluation"
    if (folder / "rungs").is_dir():
        return "rungs"
    return "before training" if (folder / "rejects.jsonl").is_file() else "preparation"


def contents(folder: Path, files: Iterable[str]) -> dict[str, Any]:
    """Every byte of these files, as far as they are there."""
    return {file: (folder / file).read_bytes().decode("latin-1") for file in files if (folder / file).is_file()}


def timeless(value: Any) -> Any:
    """Without what a clock decides."""
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value
