"""How long `luban check --report` takes on a million rows, and how large its page is.

python benchmarks/check.py [--rows 1000000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from luban import recipe as recipes
from luban.data.reading import read
from luban.inspection.checkup import check_up
from luban.inspection.report import data_report, write_data_report

WORDS = (
    "room staff river price view lobby towel lamp garden street coffee window carpet desk pillow taxi 房间 早餐 干净 服务 安静 前台".split()
)


def made(rows: int) -> pl.DataFrame:
    """Numbers, categories, a date, a short text of nine words, an id, a label."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    words = np.array(WORDS)[rng.integers(0, len(WORDS), (rows, 9))]
    return pl.DataFrame(
        {f"x{i}": np.where(rng.random(rows) < 0.03, np.nan, x[:, i]).round(4) for i in range(4)}
        | {f"c{i}": rng.choice([f"v{j}" for j in range(10**i)], rows) for i in (1, 2, 3)}
        | {"day": (np.datetime64("2020-01-01") + rng.integers(0, 1500, rows)).astype(str), "id": np.arange(rows)}
        | {"review": [" ".join(row) for row in words.tolist()], "label": np.where(x[:, 0] + rng.normal(size=rows) > 0, "good", "bad")}
    )


def timed(folder: Path, rows: int) -> None:
    """Print a table row for each part."""
    made(rows).write_csv(folder / "data.csv")
    kinds = {f"x{i}": "number" for i in range(4)} | {f"c{i}": "category" for i in (1, 2, 3)} | {"day": "date", "review": "text"}
    recipe = recipes.parse({"task": "classification", "data": "data.csv", "target": "label", "inputs": kinds}, base=folder)
    clocks = [clock()]
    read(recipe.data, recipe.reading, base=folder)
    clocks.append(clock())
    done = check_up(recipe, suspects=True)  # reads again
    clocks.append(clock())
    beside = write_data_report(data_report(done), folder / "data-report.html")
    clocks.append(clock())
    reading, checking, writing = (after - before for before, after in itertools.pairwise(clocks))
    sizes = [path.stat().st_size for path in (folder / "data.csv", folder / "data-report.html", beside)]
    print(f"{rows:,} rows, {sizes[0] / 1e6:.0f} MB; page {sizes[1] / 1e3:.0f} kB, JSON {sizes[2] / 1e3:.0f} kB\n")
    print("| | seconds | processor seconds |\n|---|---|---|")
    for name, spent in (("reading", reading), ("checking", checking - reading), ("report", writing)):
        print(f"| {name} | {spent[0]:.1f} | {spent[1]:.1f} |")


def clock() -> np.ndarray:
    """Seconds passed, and seconds worked by this process's threads."""
    return np.array([time.perf_counter(), time.process_time()])


def main() -> None:
    """Generate, measure, forget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder for the data and the report; left out, a temporary one")
    asked = parser.parse_args()
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
        timed(asked.keep, asked.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        timed(Path(folder), asked.rows)


if __name__ == "__main__":
    main()
