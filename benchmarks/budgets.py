"""Score against budget, and how well budgets are kept: `luban train` in a process of its own, its start included.

python benchmarks/budgets.py [NAME …] [--budgets "30 s" "2 min" "10 min"] [--sizes auto tiny small base] [--data FOLDER] [--out FILE]

Scores are of the validation rows: budgets and sizes are compared, and test rows are scored once. Needs an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from luban.training.budget import amount_of

ROOT = Path(__file__).parents[1]
NAMES = ("reviews-zh", "adult", "mnist")
RUN = "import sys; from luban.cli.main import main; main(sys.argv[1:])"
HEAD = "| set | budget | size | model | wall s | over | score | 95 % interval |\n|---|---|---|---|---|---|---|---|"


def main() -> None:
    """A line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--budgets", nargs="+", default=["30 s", "2 min", "10 min"])
    parser.add_argument("--sizes", nargs="+", default=[""], help="model.size; left out, the recipe's")
    parser.add_argument("--set", dest="sets", action="append", default=[], help='for all runs, such as model.kind="ngrams"')
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, help="JSON")
    given = parser.parse_args()
    found = []
    print(HEAD)
    for name in given.names:
        for budget in given.budgets:
            for size in given.sizes:
                found.append(measure(name, budget, size, given))
                print(row(found[-1]), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1, ensure_ascii=False))


def measure(name: str, budget: str, size: str, given: argparse.Namespace) -> dict[str, Any]:
    """One run."""
    text = (ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for part in given.data.absolute().iterdir():
            (Path(folder) / part.name).symlink_to(part)
        (Path(folder) / f"{name}.toml").write_text(text, encoding="utf-8")
        sets = [f'training.budget="{budget}"', *([f'model.size="{size}"'] if size else []), *given.sets]
        words = [word for one in sets for word in ("--set", one)]
        begun = time.perf_counter()
        command = [sys.executable, "-c", RUN, "train", f"{name}.toml", "--quiet", "--json", *words]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "LUBAN_LANG": "en"}, capture_output=True, text=True
        )
        seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)
    chosen = next(line for line in report["ladder"] if line["chosen"])
    score = chosen["validation"][report["protocol"]["metric"]]
    facts = {"name": name, "budget": budget, "size": size or "recipe", "model": chosen["name"], "seconds": seconds}
    return facts | {
        "over": seconds / amount_of(budget).value - 1,
        "metric": report["protocol"]["metric"],
        "score": score,
        "ladder": report["ladder"],
    }


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    score = found["score"]
    facts = f"| {found['name']} | {found['budget']} | {found['size']} | {found['model']} | {found['seconds']:.1f} | {100 * found['over']:+.1f} % "
    return facts + f"| {score['value']:.4f} | {score['low']:.4f} … {score['high']:.4f} |"


if __name__ == "__main__":
    main()
