"""Quality at equal minutes: ours and autogluon.tabular (medium quality), on the same training and test rows of real tables.

python benchmarks/speed/minutes.py --peer PYTHON [--budget "2 min"] [--only adult german-credit] [--threads 2] [--out FILE]

PYTHON belongs to an environment with autogluon.tabular[lightgbm,catboost,xgboost]. Each side is a process of its own from the csv to the scores:
its start, the reading, the training and the answers count as seconds. A third of the rows is scored, by area under the curve.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pairs import options, show

from luban.training.budget import amount_of

ROOT = Path(__file__).parents[2]
SETS = {  # file, target, the class whose probability is scored
    "adult": ("adult/adult.csv", "income", ">50K"),
    "german-credit": ("german-credit/german_credit.csv", "creditability", "bad"),
}
OURS = "import sys; from luban.cli.main import main; main(sys.argv[1:])"
THEIRS = """
import sys
from autogluon.tabular import TabularDataset, TabularPredictor
train, test, target, positive, seconds, out = sys.argv[1:]
rows = TabularDataset(test)
found = TabularPredictor(target, eval_metric="roc_auc", path=out + "-models", verbosity=0).fit(
    TabularDataset(train), presets="medium_quality", time_limit=float(seconds), num_cpus=CORES)
chances = found.predict_proba(rows)
column = next(name for name in chances.columns if str(name) == positive)
chances[column].to_csv(out, index=False, header=False)
"""


def divided(name: str, data: Path, folder: Path) -> tuple[Path, Path, np.ndarray]:
    """Training and test rows as files, and which of the test rows are of the scored class."""
    place, target, positive = SETS[name]
    with (data / place).open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    random.Random(0).shuffle(rows)
    column, third = head.index(target), len(rows) // 3
    files = []
    for part, kept, shown in (("train", rows[third:], head), ("test", rows[:third], [one for one in head if one != target])):
        files.append(folder / f"{part}.csv")
        with files[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(shown)
            writer.writerows(kept if part == "train" else [row[:column] + row[column + 1 :] for row in kept])
    return files[0], files[1], np.array([row[column] == positive for row in rows[:third]])


def ours(train: Path, test: Path, name: str, budget: str, folder: Path) -> np.ndarray:
    """Chances of the scored class by `luban train` and `luban predict`, nothing but data, target and budget said."""
    _, target, positive = SETS[name]
    (folder / "recipe.toml").write_text(
        f'task = "classification"\ndata = "{train}"\ntarget = "{target}"\n\n[split]\ntest = 0.0\n\n'
        f'[evaluation]\nmetrics = ["auc"]\n\n[training]\nbudget = "{budget}"\n'
    )
    for words in (["train", "recipe.toml", "--run", "run"], ["predict", "run/bundle", str(test), "--out", "answers.jsonl"]):
        called([sys.executable, "-c", OURS, *words, "--quiet"], folder)
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    return np.array([answer["chances"][positive] for answer in answers])


def theirs(train: Path, test: Path, name: str, budget: str, folder: Path, peer: str, threads: int) -> np.ndarray:
    """Chances by TabularPredictor."""
    _, target, positive = SETS[name]
    words = [str(train), str(test), target, positive, str(amount_of(budget).value), str(folder / "chances.csv")]
    called([peer, "-c", THEIRS.replace("CORES", str(threads)), *words], folder)
    return np.loadtxt(folder / "chances.csv")


def called(command: list[str], folder: Path) -> None:
    """Run it there. Raises SystemExit with what it said."""
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def area(chances: np.ndarray, positive: np.ndarray) -> float:
    """Under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, chances))


def main() -> None:
    """Print a table."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--peer", required=True, help="python of the other's environment")
    parser.add_argument("--budget", default="2 min")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    asked = parser.parse_args()
    show([line for name in asked.only for line in lines_of(name, asked)], asked.out)


def lines_of(name: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each side, over the rounds."""
    found = []
    for side in ("ours", "autogluon") * asked.rounds:
        with tempfile.TemporaryDirectory() as place:
            train, test, positive = divided(name, asked.data, Path(place))
            begun = time.perf_counter()
            given = (train, test, name, asked.budget, Path(place))
            chances = ours(*given) if side == "ours" else theirs(*given, asked.peer, asked.threads)
            seconds = time.perf_counter() - begun
        found.append({"set": name, "budget": asked.budget, "side": side, "seconds": seconds, "auc": area(chances, positive)})
    return found


if __name__ == "__main__":
    main()
