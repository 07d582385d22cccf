"""Our loop against the same bare torch loop: same net, rows, batches, optimizer and thread; medians of alternating rounds.

python benchmarks/loop.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import polars as pl
import torch
from torch.nn import functional as F

from luban.data.sampler import Sampler
from luban.tasks.classification import Classification
from luban.training.loop import Trainer
from luban.training.settings import Training

STEPS, ROUNDS = 300, 7
WIDTHS = {"0.5 ms": [128], "1 to 2 ms": [512, 512], "5 ms and more": [1024, 1024]}


def made(hidden: list[int]) -> tuple[Classification, object]:
    """A fitted task over ten numbers, and its examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 10))
    table = pl.DataFrame({f"x{i}": x[:, i] for i in range(10)} | {"y": np.where(x.sum(1) > 0, "a", "b")})
    model = {"kind": "mlp", "size": "small", "hidden": hidden, "numbers": "plain", "dropout": 0.0}
    task = Classification(Classification.Config(inputs={f"x{i}": {"kind": "number"} for i in range(10)}, target="y", model=model))
    task = Classification(task.config, task.fit(table))
    return task, task.encode(table)


def settings() -> Training:
    """One thread, a constant rate, no validation."""
    return Training(steps=STEPS, batch_size=256, threads=1, precision="float32", schedule="constant", warmup=0.0)


def ours(task: Classification, examples: object) -> float:
    """Milliseconds a step of the engine."""
    trainer = Trainer(task, examples, settings())  # type: ignore[arg-type]
    begun = time.perf_counter()
    trainer.run()
    return 1000 * (time.perf_counter() - begun) / STEPS


def bare(task: Classification, examples: object) -> float:
    """Milliseconds a step of a loop written out, over the same order and clipping."""
    net = task.build()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    inputs = {name: torch.from_numpy(examples[name]) for name in task.config.inputs}  # type: ignore[index]
    target = torch.from_numpy(np.asarray(examples["\x00target"], np.float32))  # type: ignore[index]
    order = Sampler(len(target), None, 256, 0).start()
    begun = time.perf_counter()
    for _ in range(STEPS):
        rows = torch.from_numpy(next(order)[1])
        loss = F.binary_cross_entropy_with_logits(net({name: x[rows] for name, x in inputs.items()})[:, 0], target[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        loss.item()
    return 1000 * (time.perf_counter() - begun) / STEPS


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    print("| step | bare ms | ours ms | ratio |\n|---|---|---|---|")
    for name, hidden in WIDTHS.items():
        task, examples = made(hidden)
        pairs = [(bare(task, examples), ours(task, examples)) for _ in range(ROUNDS)][1:]
        plain, engine = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {plain:.3f} | {engine:.3f} | {statistics.median(b / a for a, b in pairs):.3f} |")


if __name__ == "__main__":
    main()
