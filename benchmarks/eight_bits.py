"""What `luban export --to int8` gains and costs, on models trained here: a text classifier and a language model; one thread, both bundles in turns.

python benchmarks/eight_bits.py [--steps 60] [--data ../shared/data] [--threads 1] [--rows 17000 --characters 1100000]

reviews-zh and Tiny Shakespeare lie under --data. Few steps make a poor model: what 8 bits change in its score is a figure of that model alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import torch

import luban
from luban.run.lighter import Lighter, to_int8


def parts(data: Path, place: Path, rows: int, characters: int) -> None:
    """As much of both sets as is asked for."""
    pl.read_csv(data / "reviews-zh" / "reviews.csv").sample(fraction=1.0, shuffle=True, seed=0).head(rows).write_csv(place / "reviews.csv")
    text = (data / "shakespeare" / "input.txt").read_text(encoding="utf-8")
    (place / "input.txt").write_text(text[:characters], encoding="utf-8")


def recipes(data: Path, steps: int, threads: int) -> dict[str, dict[str, Any]]:
    """By what they are called in the table."""
    training = {"steps": steps, "threads": threads, "batch_size": 16, "precision": "float32"}
    rest = {"training": training, "evaluation": {"draws": 100, "baselines": False}}
    return {
        "reviews-zh, transformer base": {
            "task": "classification",
            "data": str(data / "reviews.csv"),
            "target": "sentiment",
            "model": {"kind": "transformer", "size": "base"},
        }
        | rest,
        "Shakespeare, gpt 6 × 512": {
            "task": {"kind": "language-modeling", "generation": {"max_tokens": 64}},
            "data": str(data / "input.txt"),
            "model": {"kind": "gpt", "width": 512, "layers": 6, "heads": 8, "context": 128},
        }
        | rest,
    }


def main() -> None:
    """A line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=17_000)
    parser.add_argument("--characters", type=int, default=1_100_000)
    parser.add_argument("--only", default="", help="a part of the name of one of them")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| bundle | layers | rows at a time | float32, rows/s | 8 bits, rows/s | gain | MB | score |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        parts(options.data, place, options.rows, options.characters)
        for name, recipe in recipes(place, options.steps, options.threads).items():
            if options.only in name:
                bundle = luban.train(recipe, folder=place / "runs" / name[:3]).bundle
                line(name, to_int8(bundle, place / f"int8-{name[:3]}"))


def line(name: str, found: Lighter) -> None:
    """Of the table."""
    before, after = found.rows_per_second
    large, small = (count / 1e6 for count in found.weight_bytes)
    metric, score = next(iter(found.scores.items()))
    change = f"{metric} {score['before']:.4f} → {score['after']:.4f} [{score['low']:+.4f}, {score['high']:+.4f}]"
    layers = f"{len(found.layers)} of {found.num_layers}"
    cells = (
        name,
        layers,
        found.rows_timed,
        f"{before:.1f}",
        f"{after:.1f}",
        f"{after / before:.2f} ×",
        f"{large:.1f} → {small:.1f}",
        change,
    )
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
