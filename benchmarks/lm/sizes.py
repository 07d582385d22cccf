"""The dial: does `size = "auto"` reach what the best hand-picked size reaches in the same time? Tiny Shakespeare's characters by default.

python benchmarks/lm/sizes.py [--budget "1 min"] [--sizes tiny mini small auto] [--data FILE] [--tokenizer characters] [--threads 1] [--seed 0] [--cpu-clock]

Each is a run of its own under the budget, from preparing to the bundle, on the first nine tenths of the text; then the last tenth is scored, in bits a byte.
Differences from `auto` come with intervals of 95 % over blocks of the text; what is above 0 is worse than `auto`.
With `--cpu-clock` and one thread a budget is of the process's CPU seconds: on a machine that does other things too, what a core of one's own would give.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

if "--cpu-clock" in sys.argv:  # before anything of luban keeps a clock
    time.monotonic = time.perf_counter = time.process_time

import luban
from luban.columns import Columns
from luban.data.reading import Reading, read
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import find
from luban.predicting import marks_of

BLOCK = 1024  # tokens that are drawn together, whatever the context
METRIC = find("bits_per_byte")


def main() -> None:
    """One line a size, then the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="1 min")
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini", "small", "auto"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/shakespeare/input.txt"))
    parser.add_argument("--tokenizer", default="characters", choices=("characters", "bpe"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu-clock", action="store_true")
    options, found = parser.parse_args(), {}
    with tempfile.TemporaryDirectory() as place:
        text = options.data.read_text(encoding="utf-8")
        for name, part in (("train", text[: round(0.9 * len(text))]), ("validation", text[round(0.9 * len(text)) :])):
            (Path(place) / f"{name}.txt").write_text(part, encoding="utf-8")
        for size in options.sizes:
            run = luban.train(recipe(Path(place), size, options), folder=Path(place) / size)
            found[size] = blocks(run, Path(place) / "validation.txt")
            low, high = interval(METRIC, found[size])
            print(f"{size:8} {METRIC(found[size]):.4f} [{low:.4f} … {high:.4f}] · {about(run)}", flush=True)
    for size in found if "auto" in found else ():
        if size != "auto":
            low, high = paired_interval(METRIC, found[size], found["auto"])
            print(f"{size} - auto: {METRIC(found[size]) - METRIC(found['auto']):+.4f} [{low:+.4f} … {high:+.4f}]")


def recipe(place: Path, size: str, options: Any) -> dict[str, Any]:
    """The same for all but the size."""
    return {
        "task": {"kind": "language-modeling", "tokenizer": options.tokenizer},
        "data": {"train": str(place / "train.txt"), "validation": str(place / "validation.txt")},
        "model": {"kind": "gpt", "size": size},
        "training": {"budget": options.budget, "threads": options.threads, "seed": options.seed},
        "split": {"test": 0.0},
        "evaluation": {"baselines": False},
    }


def blocks(run: Any, path: Path) -> Columns:
    """The marks of the validation text, of each block added up."""
    model = luban.load(run.bundle)
    rows = model.task.encode(read(path.name, Reading(text="file"), base=path.parent).table)
    marks = marks_of(model.task, model.net, model.task.arrange(rows, np.ones(len(rows), bool)))
    each = max(1, BLOCK // model.task.context)
    data: dict[str, Any] = {
        name: np.add.reduceat(np.asarray(marks[name]), np.arange(0, len(marks), each)) for name in ("nats", "tokens", "bytes")
    }
    return Columns(data, np.arange(len(data["nats"])))


def about(run: Any) -> str:
    """What was trained, and why."""
    row = next(row for row in run.report["ladder"] if row["chosen"])
    text = f"{row['parameters'] / 1e6:.2f} M weights, {row['fit_seconds']:.0f} s of training, {run.report['forecast']['actual']['seconds']:.0f} s in all"
    text += f", {run.recipe.training.batch_size or 'usual'} rows a step"
    return text + "".join(
        f"; {one['size']} {one['passes']:.2f} passes, {one['left']}" for one in (run.report["size"] or {}).get("tried", [])
    )


if __name__ == "__main__":
    main()
