"""Recommendation on Online Retail II by time: the last tenth of the purchases tests, products never bought before among them.

    luban example online-retail
    python benchmarks/online_retail.py examples/online-retail/retail.parquet [--models ease,hybrid,…] [--part validation] [--seed 0]

Only products that a customer buys for the first time are asked; customers without a history are asked too. `cold` are products that training never
saw: their descriptions are known, nobody's purchase of them is.
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

from luban.data.splits import TEST, TRAIN, VALIDATION, Splitting, divide
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.recommending.catalogue import COLD
from luban.tasks.recommendation import Recommendation
from luban.training.loop import Trainer
from luban.training.settings import Training
from luban.training.solving import solve

MODELS = ("popularity", "item_knn", "user_knn", "ease", "rlae", "ials", "blend", "content", "mixed", "hybrid")
METRIC = "ndcg_at_10"


def parts_of(table: pl.DataFrame) -> np.ndarray:
    """Purchases by time; descriptions train."""
    events = table["customer"].is_not_null().to_numpy()
    parts = np.full(len(table), TRAIN, np.int8)
    parts[events] = divide(table.filter(pl.Series(events)), Splitting(by="time", order="time"), target=None, seed=0)
    return parts


def run(model: dict[str, Any], table: pl.DataFrame, options: argparse.Namespace, training: dict[str, Any]) -> tuple[Any, float]:
    """Marks of the part asked, and the seconds of fitting."""
    parts = parts_of(table)
    inputs = {"description": {"kind": "text"}}  # all models know the same products, those that read no text by their code alone
    config = Recommendation.Config(user="customer", item="product", time="time", inputs=inputs, model={"size": "small", **model})
    task = Recommendation(config, Recommendation(config).fit(table.filter(pl.Series(parts == TRAIN))))
    rows = task.encode(table)
    of_row = parts[rows.row]
    split = {part: rows.take(np.flatnonzero(of_row <= part)) for part in (TRAIN, VALIDATION, TEST)}
    asked = {part: task.arrange(rows, of_row[of_row <= part] == part) for part, rows in split.items()}
    torch.manual_seed(options.seed)
    begun, wanted = time.perf_counter(), TEST if options.part == "test" else VALIDATION
    if task.objective:
        metric = find(METRIC)
        settings = Training(seed=options.seed, threads=torch.get_num_threads(), **training)
        trainer = Trainer(task, asked[TRAIN], settings, validate=lambda net: metric(marks_of(task, net, asked[VALIDATION])))
        net = trainer.run().finish()
    else:
        net = task.build()
        solve(task, net, asked[TRAIN], seed=options.seed, folder=None, tell=lambda *_, **__: None)
    seconds = time.perf_counter() - begun
    return marks_of(task, net.eval(), asked[wanted]), seconds


def main() -> None:
    """A line a model; of the last one the paired difference to EASE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="MODEL.KEY=VALUE")
    options = parser.parse_args()
    table, ease = pl.read_parquet(options.data), None
    for name in options.models.split(","):
        model, training = {"kind": name}, {}
        for assignment in options.set:
            path, _, value = assignment.partition("=")
            section, _, key = path.partition(".")
            if section in (name, "training"):
                (training if section == "training" else model)[key] = json.loads(value)
        marks, seconds = run(model, table, options, training)
        ease = marks if name == "ease" else ease
        print(line(name, marks, seconds, ease), flush=True)


def line(name: str, marks: Any, seconds: float, ease: Any) -> str:
    """Scores with their intervals over users, and on cold products alone."""
    metric = find(METRIC)
    low, high = interval(metric, marks)
    out = f"{name:11} users {len(marks)}  {METRIC} {metric(marks):.4f} [{low:.4f}, {high:.4f}]  recall_at_10 {find('recall_at_10')(marks):.4f}"
    relevant = np.asarray(marks["relevant_by_age"])[:, COLD]
    hits = np.asarray(marks["hits"]) & (np.asarray(marks["age"]) == COLD)
    cold = type(marks)({**marks.data, "hits": hits, "relevant": relevant}, marks.row).take(np.flatnonzero(relevant > 0))
    low, high = interval(metric, cold)
    out += f"  cold: users {len(cold)} {metric(cold):.4f} [{low:.4f}, {high:.4f}] recall_at_50 {find('recall_at_50')(cold):.4f}"
    if ease is not None and ease is not marks:
        low, high = paired_interval(metric, marks, ease)
        out += f"  minus ease [{low:+.4f}, {high:+.4f}]"
    return out + f"  fit {seconds:.1f} s"


if __name__ == "__main__":
    main()
