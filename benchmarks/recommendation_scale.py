"""Fit time and memory of iALS and BPR as interactions grow, on generated power-law logs.

    python benchmarks/recommendation_scale.py [--interactions 1e5,1e6,1e7,1e8] [--models ials,bpr] [--factors 64] [--sweeps 3]

Every size runs in a process of its own, so that its peak is its own; seconds are those of the processor, so that a busy machine does not count. Users are a fiftieth of the interactions, items a five-hundredth.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from luban.columns import Columns, Ragged
from luban.data.sampler import Sampler
from luban.draw import Draw
from luban.layers.folding import fold_in
from luban.layers.least_squares import Spans, factorise
from luban.models.bpr import Bpr
from luban.predicting import BATCH
from luban.recommending import batch, objectives, ranking
from luban.recommending.examples import AMOUNT, HISTORY, RECALL, SHUNNED, TARGET, USER
from luban.roles import Sizes
from luban.training.budget import batch_size_of
from luban.training.settings import Training
from luban.training.step import Stepper

BLOCK = 10_000  # users made at once


def generated(count: int, seed: int = 0) -> tuple[Ragged, int]:
    """Histories of power-law length over items of power-law popularity; and the number of items."""
    rng, users, items = np.random.default_rng(seed), max(50, count // 50), max(200, count // 500)
    lengths = np.minimum(items // 4, 1 + (rng.pareto(1.5, users) * 17).astype(np.int64))
    lengths = np.maximum(1, (lengths * (count / lengths.sum())).astype(np.int64))
    lengths = np.minimum(lengths, items // 4)
    values, distinct, filled = np.empty(lengths.sum(), np.int32), np.zeros(users, np.int64), 0
    for start in range(0, users, BLOCK):
        part = lengths[start : start + BLOCK]
        flat = np.minimum(items - 1, (items * rng.random(part.sum(), dtype=np.float32) ** 3).astype(np.int32))
        pair = np.unique(np.repeat(np.arange(len(part)), part) * items + flat)
        values[filled : filled + len(pair)] = pair % items
        distinct[start : start + BLOCK] = np.bincount(pair // items, minlength=len(part))
        filled += len(pair)
    return Ragged.of(values[:filled], distinct), items


def spans_of(histories: Ragged, items: int) -> tuple[Spans, Spans]:
    """By users and by items."""
    from scipy.sparse import csr_array

    starts = np.r_[histories.starts, len(histories.values)]
    users = csr_array((np.ones(len(histories.values), np.float32), histories.values, starts), shape=(len(histories), items))
    turned = users.tocsc()
    return Spans(starts, users.indices, users.data), Spans(turned.indptr.astype(np.int64), turned.indices, turned.data)


def ials(histories: Ragged, items: int, options: Any) -> dict[str, float]:
    """Sweeps, then ten items for every user."""
    users, turned = spans_of(histories, items)
    torch.manual_seed(0)
    begun, damping = time.process_time(), {"unobserved": 0.3, "penalty": 0.3, "exponent": 0.5}
    item = None
    for _, found in factorise(
        users, turned, factors=options.factors, sweeps=options.sweeps, block=options.factors, steps=2, scale=0.1, **damping
    ):
        item = found
    fitted = time.process_time() - begun
    if options.fit_only:
        return {"fit_s": fitted}
    begun = time.process_time()
    for start in range(0, len(histories), BATCH):
        rows = np.arange(start, min(start + BATCH, len(histories)))
        part = Spans(
            np.r_[0, np.cumsum(histories.lengths[rows])], histories.take(rows).flat(), np.ones(histories.lengths[rows].sum(), np.float32)
        )
        left = fold_in(part, item, **damping)
        owner, _ = histories.take(rows).places()
        hidden = torch.from_numpy(owner), torch.from_numpy(part.items.astype(np.int64))
        ranking.best(lambda a, b, left=left: left @ item[a:b].T, len(rows), items, 10, hidden=hidden, allowed=None)
    return {"fit_s": fitted, "ten_s": time.process_time() - begun}


class Pairwise:
    """What a step asks of a task."""

    @staticmethod
    def losses(net: Any, made: Any) -> Any:
        """As the task recommendation does."""
        yield from objectives.pairwise(net, made)


def bpr(histories: Ragged, items: int, options: Any) -> dict[str, float]:
    """An epoch as a run has it: users in another order, in batches of the usual size, negatives drawn, gradients, the optimizer's steps."""
    net, count = Bpr(Bpr.Config(factors=options.factors), Sizes(len(histories), items, len(histories.values))), len(histories)
    stepper = Stepper(Pairwise(), net, Training(), count)
    stepper.optimizer("")  # what torch loads with its first optimizer is no part of an epoch
    none, begun = Ragged.of(np.zeros(0, np.int64), np.zeros(count, np.int64)), time.process_time()
    ones = np.ones(len(histories.values), np.float32)
    amount = Ragged(ones, histories.starts, histories.lengths)
    data = {USER: np.arange(count), HISTORY: histories, AMOUNT: amount, SHUNNED: none, TARGET: none, RECALL: np.zeros(count, bool)}
    examples = Columns(data, np.arange(count))
    order = Sampler(count, histories.lengths, batch_size_of(stepper.settings, count), 0).start()
    for number, (position, rows) in enumerate(order):
        if position[0]:
            break
        made = batch.collate(examples.take(rows), Draw(0, 0, rows, training=True), items, negatives=True)
        stepper.step([made], number=number, rate=1.0)
    return {"epoch_s": time.process_time() - begun}


RUNS = {"ials": ials, "bpr": bpr}


def main() -> None:
    """A line a size and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", default="1e5,1e6,1e7")
    parser.add_argument("--models", default="ials,bpr")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--fit-only", action="store_true", help="name no items for the users")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        histories, items = generated(int(float(options.interactions)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = RUNS[options.models](histories, items, options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        facts = {"model": options.models, "interactions": len(histories.values), "users": len(histories), "items": items}
        print(
            json.dumps(facts | {k: round(v, 2) for k, v in found.items()} | {"peak_mb": peak // 1024, "data_mb": before // 1024}),
            flush=True,
        )
        return
    for size in options.interactions.split(","):
        for model in options.models.split(","):
            arguments = [
                "--interactions",
                size,
                "--models",
                model,
                "--factors",
                str(options.factors),
                "--sweeps",
                str(options.sweeps),
                "--one",
                *(["--fit-only"] if options.fit_only else []),
            ]
            subprocess.run([sys.executable, __file__, *arguments], check=False)


if __name__ == "__main__":
    main()
