"""iALS against `implicit`'s alternating least squares: the same matrix, factors, sweeps and threads, alternately; fit, then ten items for every user.

    python benchmarks/recommendation_implicit.py ml-100k.inter [--factors 128] [--sweeps 8] [--rounds 3] [--threads 1]
    python benchmarks/recommendation_implicit.py 1e6 --factors 64 --sweeps 5

A number makes a power-law log of so many interactions. On a file both are also scored (NDCG@10 on the test rows of one 8:1:1 split, what was met
never named); their weight and regularisation are then the best of a small grid on the validation rows. Over 1: ours is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recommendation_scale import generated, spans_of
from scipy.sparse import csr_matrix

from luban.columns import Columns, Ragged
from luban.data.reading import read
from luban.data.splits import TEST, TRAIN, VALIDATION, Splitting, divide
from luban.layers.folding import fold_in, upright
from luban.layers.least_squares import Spans, factorise
from luban.predicting import BATCH, batches
from luban.recommending import ranking

clock = time.process_time  # of the processor, so that a busy machine does not count
DAMPING = {"unobserved": 0.3, "penalty": 0.3, "exponent": 0.5}
GRID = [(alpha, ridge) for alpha in (1.0, 4.0, 16.0) for ridge in (0.01, 10.0, 30.0, 100.0)]


def ours(histories: Ragged, items: int, options: Any) -> tuple[float, Callable[[], np.ndarray]]:
    """Seconds, and what names ten items for every user, in the batches that `luban predict` takes."""
    spans = spans_of(histories, items)
    torch.manual_seed(0)
    begun = clock()
    settings = {"factors": options.factors, "sweeps": options.sweeps, "block": options.factors, "steps": 2, "scale": 0.1}
    *_, (_, item) = factorise(*spans, **settings, **DAMPING)
    item, _ = upright(item)
    return clock() - begun, lambda: every(histories, item)


def every(histories: Ragged, item: torch.Tensor) -> np.ndarray:
    """(U, 10) items of all users, similar lengths together."""
    out = np.zeros((len(histories), 10), np.int64)
    for users in batches(Columns({}, np.arange(len(histories)), np.maximum(1, histories.lengths)), BATCH):
        out[users] = ten(histories.take(users), item)
    return out


@torch.inference_mode()
def ten(part: Ragged, item: torch.Tensor) -> np.ndarray:
    """(B, 10) items of some users, from their histories alone, as predictions are made."""
    flat, owner = part.flat(), torch.from_numpy(part.places()[0])
    left = fold_in(Spans(np.r_[0, np.cumsum(part.lengths)], flat, np.ones(len(flat), np.float32)), item, **DAMPING)
    hidden = owner, torch.from_numpy(flat.astype(np.int64))
    return ranking.best(lambda a, b: left @ item[a:b].T, len(part), len(item), 10, hidden=hidden, allowed=None)[0].numpy()


def theirs(histories: Ragged, items: int, options: Any, alpha: float = 1.0, ridge: float = 0.01) -> tuple[float, Callable[[], np.ndarray]]:
    """The same by the library; it names items from the users' vectors it has kept."""
    from implicit.als import AlternatingLeastSquares  # codespell:ignore als

    starts = np.r_[histories.starts, len(histories.values)]
    users = csr_matrix((np.ones(len(histories.values), np.float32), histories.values, starts), shape=(len(histories), items))
    settings = {"factors": options.factors, "iterations": options.sweeps, "num_threads": options.threads, "random_state": 0}
    model = AlternatingLeastSquares(**settings, alpha=alpha, regularization=ridge)
    begun = clock()
    model.fit(users, show_progress=False)
    return clock() - begun, lambda: model.recommend(np.arange(len(histories)), users, N=10)[0]


def ndcg(named: np.ndarray, asked: Ragged) -> float:
    """At 10, mean over the users who are asked anything."""
    owner, span = asked.places()[0], int(named.max()) + int(asked.values.max()) + 1
    hit = np.isin(np.arange(len(named))[:, None] * span + named, owner * span + asked.flat())
    gain = 1 / np.log2(np.arange(10) + 2)
    best = np.r_[0, np.cumsum(gain)][np.minimum(asked.lengths, 10)]
    return float(((hit @ gain)[best > 0] / best[best > 0]).mean())


def from_file(path: Path) -> tuple[dict[int, Ragged], int]:
    """The items of every user by part, and how many there are."""
    table = read(str(path)).table
    parts = divide(table, Splitting(by="ratio", group="user_id"), target=None, seed=0)
    user, item = (np.unique(table[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id"))
    order, out = np.argsort(user, kind="stable"), {}
    for part in (TRAIN, VALIDATION, TEST):
        rows = order[parts[order] == part]
        out[part] = Ragged.of(item[rows].astype(np.int32), np.bincount(user[rows], minlength=user.max() + 1))
    return out, int(item.max()) + 1


def main() -> None:
    """Medians of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--sweeps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    split, best = {}, (1.0, 0.01)
    if Path(options.data).exists():
        split, items = from_file(Path(options.data))
        histories = split[TRAIN]
        best = max(GRID, key=lambda pair: ndcg(theirs(histories, items, options, *pair)[1](), split[VALIDATION]))
    else:
        histories, items = generated(int(float(options.data)))
    found: dict[str, list[tuple[float, float]]] = {"luban": [], "implicit": []}
    for _ in range(options.rounds):
        for name, made in (("luban", ours(histories, items, options)), ("implicit", theirs(histories, items, options, *best))):
            begun = clock()
            named = made[1]()
            found[name].append((made[0], clock() - begun))
            if split and len(found[name]) == 1:
                print(
                    f"{name:9} ndcg_at_10 {ndcg(named, split[TEST]):.4f}"
                    + (f"  alpha, regularization {best}" if name == "implicit" else "")
                )
    medians = {name: [statistics.median(seconds) for seconds in zip(*times)] for name, times in found.items()}
    print(
        f"{len(histories.values):,} interactions, {len(histories):,} users, {items:,} items, {options.factors} factors, {options.sweeps} sweeps"
    )
    for place, what in enumerate(("fit", "ten items")):
        own, other = medians["luban"][place], medians["implicit"][place]
        print(f"{what:9} luban {own:.2f} s  implicit {other:.2f} s  ratio {other / own:.2f}")


if __name__ == "__main__":
    main()
