"""Recommendation on MovieLens-100K: each model on five splits, mean and interval; every rating is positive, 8:1:1 of each user at random.

    python benchmarks/recommendation.py ml-100k.inter [--models ease,ials,…] [--part validation] [--seeds 5] [--set ease.penalty=500]
    python benchmarks/recommendation.py ml-100k.inter --split last_one --profile all --models popularity,item_knn,ease,sasrec --seeds 3

Models are fitted on the training rows and score every item; what the user met in training or validation is never named. `--profile training`
asks with the training rows alone, as papers do; `all` asks with everything before the test rows, as a deployed model would; `--refit` fits on
training and validation rows together.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luban.columns import Columns
from luban.data.reading import read
from luban.data.splits import TEST, TRAIN, VALIDATION, Splitting, divide
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.recommending.examples import arrange
from luban.tasks.recommendation import Recommendation
from luban.training.loop import Trainer
from luban.training.settings import Training
from luban.training.solving import solve

MODELS = ("popularity", "item_knn", "user_knn", "ease", "rlae", "ials", "blend", "bpr")
METRICS = ("ndcg_at_10", "recall_at_10", "precision_at_10", "mrr_at_10", "map_at_10", "coverage_at_10")


def task_of(model: dict[str, Any], table: pl.DataFrame, parts: np.ndarray) -> Any:
    """Fitted on the training rows."""
    config = Recommendation.Config(model={"size": "small", **model}, time="timestamp" if "timestamp" in table.columns else "")
    unfitted = Recommendation(config)
    return Recommendation(config, unfitted.fit(table.filter(pl.Series(parts == TRAIN))))


def examples_of(task: Any, table: pl.DataFrame, parts: np.ndarray, part: int, profile: str) -> Columns:
    """One example a user; the history holds training rows alone, or all before."""
    rows = task.encode(table)
    kept = np.flatnonzero(parts <= part)
    of_row = parts[kept]
    if part == TRAIN:
        return arrange(rows.take(kept), np.ones(len(kept), bool))
    return arrange(rows.take(kept), of_row == part, profile=of_row == TRAIN if profile == "training" else of_row < part)


def fitted(task: Any, train: Columns, validation: Columns, seed: int, training: dict[str, Any]) -> tuple[Any, float]:
    """The net and the seconds it took."""
    torch.manual_seed(seed)
    begun = time.perf_counter()
    if not task.objective:
        net = task.build()
        solve(task, net, train, seed=seed, folder=None, tell=lambda *_, **__: None)
        return net.eval(), time.perf_counter() - begun
    metric = find("ndcg_at_10")
    settings = Training(**{"seed": seed, "threads": torch.get_num_threads(), **training})
    trainer = Trainer(task, train, settings, validate=lambda net: metric(marks_of(task, net, validation)))
    return trainer.run().finish(), time.perf_counter() - begun


def one(model: dict[str, Any], table: pl.DataFrame, seed: int, options: argparse.Namespace, training: dict[str, Any]) -> dict[str, float]:
    """Scores of one model on one split."""
    order = {"order": "timestamp"} if options.split == "last_one" else {}
    parts = divide(table, Splitting(by=options.split, group="user_id", **order), target=None, seed=seed)
    if options.refit:
        parts = np.where(parts == VALIDATION, TRAIN, parts)
    task = task_of(model, table, parts)
    train = examples_of(task, table, parts, TRAIN, options.profile)
    part = TEST if options.part == "test" else VALIDATION
    asked = examples_of(task, table, parts, part, options.profile)
    validation = asked if options.refit else examples_of(task, table, parts, VALIDATION, options.profile)
    net, seconds = fitted(task, train, validation, seed, training)
    begun = time.perf_counter()
    marks = marks_of(task, net, asked)
    return {name: find(name)(marks) for name in METRICS} | {"fit_s": seconds, "score_s": time.perf_counter() - begun}


def main() -> None:
    """Print a line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--profile", choices=("training", "all"), default="training")
    parser.add_argument("--split", choices=("ratio", "last_one"), default="ratio", help="last_one: each user's very last event tests")
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="MODEL.KEY=VALUE")
    options = parser.parse_args()
    table = read(str(options.data)).table
    for name in options.models.split(","):
        model, training = {"kind": name}, {}
        for assignment in options.set:
            path, _, value = assignment.partition("=")
            section, _, key = path.partition(".")
            if section in (name, "training"):
                (training if section == "training" else model)[key] = json.loads(value)
        found = [one(model, table, seed, options, training) for seed in range(options.seeds)]
        print(line(name, found), flush=True)


def line(name: str, found: list[dict[str, float]]) -> str:
    """Mean ± half of the 95 % interval of the mean over the splits (Student's t)."""
    from scipy.stats import t

    out = f"{name:11}"
    for key in found[0]:
        values = np.array([scores[key] for scores in found])
        half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        out += f"  {key} {values.mean():.4f} ± {half:.4f}" if not key.endswith("_s") else f"  {key} {values.mean():.2f}"
    return out


if __name__ == "__main__":
    main()
