"""What 8 bits cost a translator and what they save: BLEU, chrF and CPU seconds of answering, as trained and with its layers in 8 bits, in one run.

python benchmarks/seq2seq/int8.py BUNDLE ROWS [--rows 300] [--streams 128] [--threads 1]

BUNDLE is what `luban train` made of a recipe with the task `translation`; ROWS a file with its columns that it has not learnt from.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import polars as pl
import torch

from luban import load

METRICS = ("bleu", "chrf")


def judged(model: Any, rows: pl.DataFrame) -> tuple[dict[str, float], float]:
    """(scores, CPU seconds)."""
    begun = time.process_time()
    found = model.evaluate(rows, metrics=METRICS)
    return {name: found[name]["value"] for name in METRICS}, time.process_time() - begun


def main() -> None:
    """Alternately, twice; the best time of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("file")
    for name, default in {"rows": 300, "streams": 128, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}[o.file[o.file.rindex(".") :]]
    rows = read(o.file).head(o.rows)
    plain = load(o.bundle)
    ways = {"float32": plain, "8 bits": plain.faster(streams=o.streams, int8=True)}
    seconds = dict.fromkeys(ways, float("inf"))
    scores: dict[str, dict[str, float]] = {}
    for _ in range(2):
        for name, model in ways.items():
            scores[name], spent = judged(model, rows)
            seconds[name] = min(seconds[name], spent)
    for name in ways:
        told = " · ".join(f"{metric} {value:.2f}" for metric, value in scores[name].items())
        print(f"{name:8} {told} · {seconds[name]:.2f} CPU s · {seconds['float32'] / seconds[name]:.2f}x")


if __name__ == "__main__":
    main()
