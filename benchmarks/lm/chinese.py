"""A language model of Chinese poems, character by character, against Kneser-Ney counts of five characters on the same rows.

luban example poems-zh && python benchmarks/lm/chinese.py [--data examples/poems-zh/poems.jsonl] [--budget "5 min"] [--order 5] [--threads 1] [--cpu-clock]

A twentieth of the poems is test, another validation, by the hash of the poem; the test rows are scored once, each row of text in a context of its own. The
counts are of the tokens the network has, of all training rows, and none is left out for lack of room. Bits a byte, with intervals of 95 % over the rows.
With `--cpu-clock` and one thread the budget is of the process's CPU seconds: on a machine that does other things too, what a core of one's own would give.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

if "--cpu-clock" in sys.argv:  # before anything of luban keeps a clock
    time.monotonic = time.perf_counter = time.process_time

import luban
from luban.columns import Columns
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.training.solving import solve

METRIC = find("bits_per_byte")
SHARES = {"test": range(5), "validation": range(5, 10), "train": range(10, 100)}  # hundredths
MOST = 2**24  # n-grams: more than there are


def main() -> None:
    """Train, count, score once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("examples/poems-zh/poems.jsonl"))
    parser.add_argument("--budget", default="5 min")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--size", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu-clock", action="store_true")
    options = parser.parse_args()
    texts = [json.loads(line)["text"] for line in options.data.read_text(encoding="utf-8").splitlines()]
    parts = {name: [text for text in texts if hundredth(text) in share] for name, share in SHARES.items()}
    with tempfile.TemporaryDirectory() as place:
        for name, rows in parts.items():
            pl.DataFrame({"text": rows}).write_ndjson(Path(place) / f"{name}.jsonl")
        run = luban.train(recipe(Path(place), options), folder=Path(place) / "run")
        model = luban.load(run.bundle)
    examples = {name: arranged(model.task, rows) for name, rows in parts.items()}
    begun = time.perf_counter()
    counts, net = counted(model.task, options.order, examples["train"])
    seconds = time.perf_counter() - begun
    held = int((net.contexts != np.iinfo(np.int64).max).sum())
    network, ngrams = marks_of(model.task, model.net, examples["test"]), marks_of(counts, net, examples["test"])
    say(
        "network",
        network,
        f"{run.report['size']['size'] if run.report['size'] else options.size}, {options.budget}, {options.threads} threads",
    )
    say(f"{options.order}-grams", ngrams, f"{held:,} contexts, {seconds:.0f} s")
    low, high = paired_interval(METRIC, network, ngrams)
    print(f"network - {options.order}-grams: {METRIC(network) - METRIC(ngrams):+.4f} [{low:+.4f} … {high:+.4f}]")
    print(f"{len(texts):,} poems, {sum(map(len, texts)):,} characters; test {len(parts['test']):,} poems")
    for answer in model.predict([{"text": "春"}, {"text": "明月"}]):
        print(answer["text"][:60].replace("\n", " / "))


def hundredth(text: str) -> int:
    """0 … 99, the same for a poem each time."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def recipe(place: Path, options: Any) -> dict[str, Any]:
    """As the recipe of the example has it, but for the split, which is written out."""
    return {
        "task": {"kind": "language-modeling", "tokenizer": "characters", "vocabulary": 4096, "isolate": False},
        "data": {name: str(place / f"{name}.jsonl") for name in SHARES},
        "model": {"kind": "gpt", "size": options.size},
        "training": {"budget": options.budget, "threads": options.threads},
        "evaluation": {"baselines": False},
    }


def arranged(task: Any, texts: list[str]) -> Columns:
    """Rows of text to be scored."""
    rows = task.encode(pl.DataFrame({task.column: texts}))
    return task.arrange(rows, np.ones(len(rows), bool))


def counted(task: Any, order: int, train: Columns) -> tuple[Any, Any]:
    """The task with counts in the network's place, and the counts."""
    model = {"kind": "kneser_ney", "order": order, "entries": MOST, "context": task.context}
    made = type(task)(replace(task.config, model=model), task.state)
    net = made.build()
    solve(made, net, train, seed=0, folder=None, tell=lambda *_, **__: None, check=lambda: None)
    return made, net.eval()


def say(name: str, marks: Columns, about: str) -> None:
    """A line."""
    low, high = interval(METRIC, marks)
    print(f"{name:10} {METRIC(marks):.4f} [{low:.4f} … {high:.4f}] bits a byte · {about}", flush=True)


if __name__ == "__main__":
    main()
