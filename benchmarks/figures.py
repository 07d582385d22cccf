"""The figures the docs state: train a recipe of `recipes/` on real data and print the ladder.

python benchmarks/figures.py NAME… [--data FOLDER] [--set KEY=VALUE] [--runs FOLDER]

`--data` holds the sets as `reviews-zh/reviews.csv`, `mnist/train.parquet` …; digits and iris come from scikit-learn.
The test split is scored once, at the end of each run.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from luban import examples, recipe
from luban.cli.train import summary
from luban.errors import LubanError
from luban.run import train

ROOT = Path(__file__).parents[1]
WANTED = {
    "reviews-zh": ("accuracy", 0.86),
    "mnist": ("accuracy", 0.992),
    "digits": ("accuracy", 0.985),
    "iris": ("accuracy", 0.96),
    "adult": ("auc", 0.925),
    "clothing-reviews": ("accuracy", 0.87),
    "cifar10": ("accuracy", 0.85),
    "ml-100k": ("ndcg_at_10", 0.335),
}
FETCHED = ("digits", "iris", "ml-100k", "online-retail")


def main() -> None:
    """Run what was asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(WANTED), metavar="NAME")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "figures")
    parser.add_argument("--set", dest="sets", action="append", default=[])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    rows = [measure(name, arguments) for name in arguments.names]
    print("\n| set | metric | wanted | measured | 95 % interval | model | seconds |\n|---|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def measure(name: str, arguments: argparse.Namespace) -> tuple[str, ...]:
    """One set: the ladder to stdout, a row for the table."""
    metric, wanted = WANTED[name]
    base = arguments.data
    if name in FETCHED:
        base = arguments.runs / "data"
        examples.fetch(name, base / name)
    read = recipe.read(ROOT / "recipes" / f"{name}.toml", tuple(arguments.sets))
    begun = time.monotonic()
    try:
        run = train(recipe.replace_base(read, base), runs=arguments.runs)
    except LubanError as error:
        return name, metric, f"{wanted}", str(error), "", "", ""
    seconds = time.monotonic() - begun
    print(f"\n## {name}\n", *summary(run.report, run.folder), sep="\n")
    score = run.scores[metric]
    chosen = next(row["name"] for row in run.report["ladder"] if row["chosen"])
    (run.folder / "figure.json").write_text(json.dumps({"metric": metric, "wanted": wanted, "seconds": seconds, **score}))
    return name, metric, f"{wanted}", f"{score['value']:.4f}", f"{score['low']:.4f} … {score['high']:.4f}", chosen, f"{seconds:.0f}"


if __name__ == "__main__":
    main()
