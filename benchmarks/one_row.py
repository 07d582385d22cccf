"""One row through a bundle: reading it by the way for few rows against the way for many, alternately in one run.

python benchmarks/one_row.py [BUNDLE ...] [--rounds 200]

Without bundles: one of each kind of column, of untrained nets. Medians in milliseconds of encoding and of the whole answer, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

import luban
from luban import few, recipe
from luban.bundle.fingerprint import fingerprint
from luban.bundle.golden import as_table
from luban.bundle.write import write
from luban.catalog import load
from luban.predicting import answers_of

COLUMNS = {"text": "text", "number": "number", "category": "category", "date": "date", "tags": "tags"}


@contextmanager
def most(rows: int) -> Iterator[None]:
    """So many rows count as few."""
    before, few.MOST = few.MOST, rows
    try:
        yield
    finally:
        few.MOST = before


def seconds(run: Any) -> float:
    """One run."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def compared(run: Any, rounds: int) -> tuple[float, float]:
    """Medians (few, many) in milliseconds, one after the other in each round."""
    times: dict[int, list[float]] = {8: [], -1: []}
    for place in range(rounds + 10):
        for rows, found in times.items():
            with most(rows):
                taken = seconds(run)
            if place >= 10:
                found.append(1000 * taken)
    return statistics.median(times[8]), statistics.median(times[-1])


def made(folder: Path) -> list[Path]:
    """A bundle for each kind, and one with all of them."""
    out = []
    for name, kinds in {**{kind: [kind] for kind in COLUMNS}, "all": list(COLUMNS)}.items():
        asked = {"task": "classification", "inputs": {kind: kind for kind in kinds}, "model": {"kind": "auto", "size": "tiny"}}
        table = pl.DataFrame({kind: load("kinds", kind).demo(60, 1) for kind in kinds} | {"y": ["yes", "no"] * 30})
        found = recipe.parse(asked | {"data": "none", "target": "y"}, name=name)
        task = found.make_task()
        task = type(task)(task.config, json.loads(json.dumps(task.fit(table))))
        write(
            folder / name,
            found,
            task,
            task.build().eval(),
            report={},
            rows=table.drop("y"),
            fingerprint=fingerprint(task.encode(table), []),
        )
        out.append(folder / name)
    return out


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    print("| bundle | encode few ms | many ms | ratio | answer few ms | many ms | ratio |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for bundle in asked.bundles or made(Path(folder)):
            model = luban.load(bundle)
            lines = [json.loads(line) for line in (bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
            row = as_table([lines[0]["input"]])
            encode = compared(lambda model=model, row=row: model.task.encode(row), asked.rounds)
            answer = compared(lambda model=model, row=row: answers_of(model.task, model.net, row), asked.rounds)
            cells = " | ".join(f"{quick:.3f} | {slow:.3f} | {slow / quick:.1f}" for quick, slow in (encode, answer))
            print(f"| {bundle.name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
