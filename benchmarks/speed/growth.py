"""How time and memory grow: rows x 1, 10, 100 of a table and a text set; lengths x 1, 4, 16 of a transformer; and how long programs take to start.

python benchmarks/speed/growth.py [--only rows lengths starts] [--rounds 3] [--out FILE]

Each run is a process of its own. The slope is that of the logarithms: 1 is linear. Fixed costs of about two seconds flatten it where rows are few.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pairs import options, show

ROOT = Path(__file__).parents[2]
RUN = "import sys; from luban.cli.main import main; main(sys.argv[1:])"
SETTINGS = {"evaluation.baselines": "false", "evaluation.draws": "50", "training.precision": '"float32"'}


def table(rows: int) -> pl.DataFrame:
    """Ten numbers, two categories."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 10))
    kinds = {f"c{i}": rng.choice(list("abcdefgh"), rows) for i in range(2)}
    return pl.DataFrame({f"x{i}": x[:, i] for i in range(10)} | kinds | {"label": np.where(x.sum(1) > 0, "yes", "no")})


def texts(rows: int, words: int = 40) -> pl.DataFrame:
    """Texts of so many words, one of which tells the label."""
    rng = np.random.default_rng(0)
    labels, known = rng.integers(0, 2, rows), np.array([f"word{i}" for i in range(5000)])
    drawn = known[rng.integers(0, len(known), (rows, words - 1))]
    return pl.DataFrame(
        {
            "text": [" ".join([*line, "good" if label else "bad"]) for line, label in zip(drawn, labels, strict=True)],
            "label": labels.astype(str),
        }
    )


def trained(data: pl.DataFrame, model: str, sets: dict[str, str]) -> dict[str, float]:
    """Seconds and peak memory of `luban train`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data.write_csv(folder / "data.csv")
        text = 'inputs = {text = "text"}\n' if "text" in data.columns else ""
        (folder / "r.toml").write_text(f'task = "classification"\ndata = "data.csv"\ntarget = "label"\n{text}model = {{{model}}}\n')
        words = [word for key, value in (SETTINGS | sets).items() for word in ("--set", f"{key}={value}")]
        begun = time.perf_counter()
        command([*RUNNER, "train", "r.toml", "--quiet", *words], folder)
        seconds = time.perf_counter() - begun
        report = json.loads((folder / "runs" / "r" / "report.json").read_text(encoding="utf-8"))
    actual = report["forecast"]["actual"]
    fit = next(row["fit_seconds"] for row in report["ladder"] if row["chosen"])
    return {"seconds": seconds, "of it training": fit, "peak MB": actual["peak_bytes"] / 1e6}


RUNNER = [sys.executable, "-c", RUN]


def command(words: list[str], folder: Path) -> str:
    """What it printed. Raises SystemExit where it failed."""
    environment = os.environ | {"LUBAN_LANG": "en", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-500:])
    return done.stdout


def rows_grow(rounds: int) -> list[dict[str, Any]]:
    """Two passes over ever more rows."""
    passes = {"training.epochs": "2"}
    out = grown("table, mlp", [(n, table(n), 'kind = "mlp", size = "tiny"', passes) for n in (5_000, 50_000, 500_000)], rounds)
    return out + grown("text, ngrams", [(n, texts(n), 'kind = "ngrams", size = "tiny"', passes) for n in (2_000, 20_000, 200_000)], rounds)


def lengths_grow(rounds: int) -> list[dict[str, Any]]:
    """Sixty steps over ever longer texts."""
    steps = {"training.steps": "60", "training.batch_size": "16", "inputs.text": '{kind = "text", max_length = 2048}'}
    runs = [(32 * k, texts(1500, 32 * k), 'kind = "transformer", size = "small"', steps) for k in (1, 4, 16)]
    return grown("words, transformer", runs, rounds)


def grown(name: str, runs: list[tuple[int, pl.DataFrame, str, dict[str, str]]], rounds: int) -> list[dict[str, Any]]:
    """A line for each size, with the slope from the one before."""
    out: list[dict[str, Any]] = []
    for size, data, model, sets in runs:
        found = [trained(data, model, sets) for _ in range(rounds)]
        line = {"what": name, "size": size} | {key: statistics.median(one[key] for one in found) for key in found[0]}
        before = out[-1] if out else None
        for key in ("seconds", "of it training", "peak MB"):
            line[f"slope, {key}"] = math.log(line[key] / before[key]) / math.log(size / before["size"]) if before else "–"
        out.append(line)
    return out


def starts(rounds: int) -> list[dict[str, Any]]:
    """Seconds till a program has said what it says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table(2000).write_csv(folder / "data.csv")
        (folder / "r.toml").write_text('task = "classification"\ndata = "data.csv"\ntarget = "label"\n')
        command([*RUNNER, "train", "r.toml", "--quiet", "--set", "training.steps=20"], folder)
        table(1).drop("label").write_csv(folder / "one.csv")
        programs = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import torch": [sys.executable, "-c", "import torch"],
            "import luban": [sys.executable, "-c", "import luban"],
            "luban --help": [*RUNNER, "--help"],
            "luban models": [*RUNNER, "models"],
            "luban check r.toml": [*RUNNER, "check", "r.toml"],
            "luban predict, one row": [*RUNNER, "predict", "runs/r/bundle", "one.csv"],
        }
        return [
            {"program": title, "seconds": statistics.median(timed(words, folder) for _ in range(rounds))}
            for title, words in programs.items()
        ]


def timed(words: list[str], folder: Path) -> float:
    """Seconds of a command."""
    begun = time.perf_counter()
    command(words, folder)
    return time.perf_counter() - begun


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {"rows": rows_grow, "lengths": lengths_grow, "starts": starts}


def main() -> None:
    """A table for each part."""
    parser = options(__doc__, rounds=3)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    asked = parser.parse_args()
    for part in asked.only:
        show(PARTS[part](asked.rounds), asked.out.with_stem(f"{asked.out.stem}-{part}") if asked.out else None)
        print()


if __name__ == "__main__":
    main()
