"""Our loop against the same bare torch loop: same net, rows, batches, optimizer and threads; medians of alternating rounds.

python benchmarks/speed/loop.py [--only mlp convnet transformer] [--rounds 7] [--out FILE]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import torch
from pairs import in_turn, options, ratio, show
from torch.nn import functional as F

from luban.data.sampler import Sampler
from luban.draw import Draw
from luban.tasks.classification import Classification
from luban.training.loop import Trainer
from luban.training.settings import Training

STEPS = 300
LEAST_S = 2.0  # a round of fewer steps lasts so long
NETS: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"hidden": [128]}, {"hidden": [256, 256]}, {"hidden": [512, 512]}, {"hidden": [1024, 1024]}],
    "convnet": [{"channels": [8]}, {"channels": [16, 32]}],
    "transformer": [{"width": 32, "layers": 1, "heads": 2}, {"width": 128, "layers": 2, "heads": 4}],
}


def numbers(rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Ten numbers a row."""
    x = rng.normal(size=(20_000, 10))
    return pl.DataFrame({f"x{i}": x[:, i] for i in range(10)} | {"y": np.where(x.sum(1) > 0, "a", "b")}), {
        f"x{i}": {"kind": "number"} for i in range(10)
    }


def pictures(rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Grey pictures of 16 x 16, brighter or darker."""
    import io

    from PIL import Image

    def drawn(level: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(level, level + 120, (16, 16), dtype=np.uint8)).save(buffer, "png")
        return buffer.getvalue()

    labels = rng.integers(0, 2, 4000)
    return pl.DataFrame({"x": [drawn(60 + 60 * int(label)) for label in labels], "y": np.where(labels, "a", "b")}), {"x": {"kind": "image"}}


def texts(rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Texts of 32 words."""
    labels, words = rng.integers(0, 2, 4000), np.array([f"w{i}" for i in range(500)])
    drawn = [" ".join(np.r_[rng.choice(words, 31), ["good" if label else "bad"]]) for label in labels]
    return pl.DataFrame({"x": drawn, "y": np.where(labels, "a", "b")}), {"x": {"kind": "text"}}


ROWS: dict[str, Callable[[np.random.Generator], tuple[pl.DataFrame, dict[str, Any]]]] = {
    "mlp": numbers,
    "convnet": pictures,
    "transformer": texts,
}


def made(kind: str, own: dict[str, Any]) -> tuple[Classification, Any]:
    """A fitted task, and its examples."""
    table, inputs = ROWS[kind](np.random.default_rng(0))
    plain = {"dropout": 0.0} | ({"numbers": "plain"} if kind == "mlp" else {})
    model = {"kind": kind, "size": "small"} | plain | own
    task = Classification(Classification.Config(inputs=inputs, target="y", model=model))
    task = Classification(task.config, task.fit(table))
    return task, task.encode(table)


def ours(task: Classification, examples: Any, batch: int, steps: int) -> float:
    """Milliseconds a step of the engine."""
    settings = Training(
        steps=steps,
        batch_size=batch,
        threads=torch.get_num_threads(),
        precision="float32",
        schedule="constant",
        warmup=0.0,
        learning_rate=1e-3,
    )
    trainer = Trainer(task, examples, settings)
    begun = time.perf_counter()
    trainer.run()
    return 1000 * (time.perf_counter() - begun) / steps


def bare(task: Classification, examples: Any, batch: int, steps: int) -> float:
    """Milliseconds a step of a loop written out, over the same batches and clipping."""
    net = task.build()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    order = Sampler(len(examples), examples.size, batch, 0).start()
    numbers = {name: torch.from_numpy(np.asarray(examples[name])) for name in task.config.inputs if isinstance(examples[name], np.ndarray)}
    plain = len(numbers) == len(task.config.inputs) and all(x.dtype == torch.float32 for x in numbers.values())
    target = torch.from_numpy(np.asarray(examples["\x00target"], np.float32))
    begun = time.perf_counter()
    for _ in range(steps):
        (epoch, _, _), rows = next(order)
        if plain:
            inputs: Any = {name: x[rows] for name, x in numbers.items()}
        else:
            inputs = task.collate(examples.take(rows), Draw(0, epoch, rows, training=True)).inputs
        loss = F.binary_cross_entropy_with_logits(net(inputs)[:, 0], target[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        loss.item()
    return 1000 * (time.perf_counter() - begun) / steps


def main() -> None:
    """Print a table."""
    parser = options(__doc__, rounds=7)
    parser.add_argument("--only", nargs="+", choices=list(NETS), default=list(NETS))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = []
    for kind in asked.only:
        for own in NETS[kind]:
            task, examples = made(kind, own)
            batch = 256 if kind == "mlp" else 64
            steps = max(20, min(STEPS, int(1000 * LEAST_S / bare(task, examples, batch, 20))))
            found = in_turn(
                {
                    "bare": lambda t=task, e=examples, b=batch, s=steps: bare(t, e, b, s),
                    "ours": lambda t=task, e=examples, b=batch, s=steps: ours(t, e, b, s),
                },
                asked.rounds,
            )
            setting = ", ".join(f"{key} {value}" for key, value in own.items())
            medians = {f"{name} ms": statistics.median(values) for name, values in found.items()}
            rows.append({"net": kind, "setting": setting} | medians | {"ours / bare": ratio(found, "ours", "bare")})
    show(rows, asked.out)


if __name__ == "__main__":
    main()
