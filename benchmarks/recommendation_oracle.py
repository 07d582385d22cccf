"""Our metrics against RecBole's own code on the same recommendations: the largest difference of any user's value, and of any mean.

    python benchmarks/recommendation_oracle.py ml-100k.inter [--models popularity,item_knn,…]

Needs `recbole` installed beside Luban; its imports that nothing here uses (tensorboard, thop, ray) are left empty.
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

import numpy as np
from recommendation import examples_of, fitted, task_of

from luban.data.reading import read
from luban.data.splits import TEST, TRAIN, Splitting, divide
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.recommending.lists import CUTOFFS

NAMES = {"ndcg": "NDCG", "recall": "Recall", "precision": "Precision", "hit_rate": "Hit", "mrr": "MRR", "map": "MAP"}


def theirs() -> types.ModuleType:
    """RecBole's metrics."""
    for name in ("tensorboard", "torch.utils.tensorboard", "thop", "ray", "ray.tune"):
        empty = types.ModuleType(name)
        empty.SummaryWriter = empty.profile = object  # type: ignore[attr-defined]
        sys.modules[name] = empty
    np.float = float  # type: ignore[attr-defined]  # an alias that numpy dropped and RecBole still uses
    from recbole.evaluator import metrics

    return metrics


def main() -> None:
    """A line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default="popularity,item_knn,user_knn,ease,rlae,ials,blend")
    options = parser.parse_args()
    table, library = read(str(options.data)).table, theirs()
    parts = divide(table, Splitting(by="ratio", group="user_id"), target=None, seed=0)
    for name in options.models.split(","):
        task = task_of({"kind": name}, table, parts)
        train, asked = (examples_of(task, table, parts, part, "training") for part in (TRAIN, TEST))
        net, _ = fitted(task, train, asked, 0, {})
        marks = marks_of(task, net, asked)
        print(f"{name:11} users {len(marks)}  largest difference {difference(library, marks):.1e}", flush=True)


def difference(library: types.ModuleType, marks: object) -> float:
    """Over all metrics and cutoffs, of the means; coverage and popularity among them."""
    hits, relevant = np.asarray(marks["hits"]), np.asarray(marks["relevant"])  # type: ignore[index]
    listed, items = np.asarray(marks["listed"]), int(marks["catalogue"][0])  # type: ignore[index]
    config = {"topk": list(CUTOFFS), "metric_decimal_place": 12}
    worst = 0.0
    for ours, name in NAMES.items():
        metric = getattr(library, name)(config)
        known = metric.metric_info(hits) if name in ("Hit", "MRR", "Precision") else metric.metric_info(hits, relevant)
        worst = max(worst, *(abs(find(f"{ours}_at_{k}")(marks) - known[:, k - 1].mean()) for k in CUTOFFS))  # type: ignore[arg-type]
    for cutoff in CUTOFFS:
        known = library.ItemCoverage(config).get_coverage(listed[:, :cutoff], items)
        worst = max(worst, abs(find(f"coverage_at_{cutoff}")(marks) - known))  # type: ignore[arg-type]
    return worst


if __name__ == "__main__":
    main()
