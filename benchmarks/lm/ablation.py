"""What each ingredient of a small language model is worth: validation loss on tiny Shakespeare's characters after the same number of tokens.

python benchmarks/lm/ablation.py [--steps 200] [--rows 8] [--seeds 0 ...] [--only NAME ...] [--threads 1] [--precision float32] [--tied] [--data FILE]

The last tenth of the text is validation, as nanoGPT has it; rows of 256 characters, each scored in a context of its own. Each variant is held against the
first one, trained from the same seeds on the same rows: the difference in nats a character, its interval of 95 % over the validation rows
(all seeds together), and the difference of each seed. What is above 0 is worse.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luban.columns import Columns
from luban.data.reading import Reading, read
from luban.evaluation.intervals import paired_interval
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.tasks.language_modeling import LanguageModeling
from luban.training.loop import Trainer
from luban.training.settings import Training

BASE = {"optimizer": "muon", "learning_rate": 0.01, "schedule": "linear", "device": "cpu", "compile": "off"}
FIRST = "as shipped"
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # model, training: what differs
    FIRST: ({}, {}),
    "value embeddings in every other layer": ({"value_embeddings": "alternate"}, {}),
    "value embeddings in all layers": ({"value_embeddings": "all"}, {}),
    "without QK-norm": ({"qk_norm": False}, {}),
    "GELU instead of squared ReLU": ({"activation": "gelu"}, {}),
    "SwiGLU instead of squared ReLU": ({"activation": "swiglu"}, {}),
    "projections not from zero": ({"zero_init": False}, {}),
    "AdamW at 0.002 instead of Muon": ({}, {"optimizer": "adamw", "learning_rate": 2e-3}),
    "AdamW at 0.005 instead of Muon": ({}, {"optimizer": "adamw", "learning_rate": 5e-3}),
    "Muon at 0.005": ({}, {"learning_rate": 0.005}),
    "Muon at 0.02": ({}, {"learning_rate": 0.02}),
    "cosine instead of linear warm-down": ({}, {"schedule": "cosine"}),
    "no warm-down": ({}, {"schedule": "constant"}),
    "tied head": ({"tied": True}, {}),
    "untied head": ({"tied": False}, {}),
    "all three: value embeddings, SwiGLU, untied": ({"value_embeddings": "alternate", "activation": "swiglu", "tied": False}, {}),
    "learned positions": ({"positions": "learned"}, {}),
    "norms that remove the mean": ({"norm": "layer"}, {}),
}
NATS = find("nats_per_token")


def main() -> None:
    """One line a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=8, help="of 256 characters in a step")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/shakespeare/input.txt"))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--tied", action="store_true", help="hold all against a net whose head is the table of tokens")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = read(options.data.name, Reading(text="file"), base=options.data.parent).table
    first: Columns | None = None
    for name in dict.fromkeys([FIRST, *options.only]):
        cpu = time.process_time()
        each = [marks(table, *VARIANTS[name], seed, options) for seed in options.seeds]
        found, cpu = joined(each), time.process_time() - cpu
        first = first or found
        print(f"{name:46} {NATS(found):.4f}{against(found, first, options.seeds)} · {cpu / len(each):.0f} CPU s", flush=True)


def marks(table: pl.DataFrame, model: dict[str, Any], training: dict[str, Any], seed: int, options: Any) -> Columns:
    """What a training of one seed says of the validation rows."""
    held_out = np.arange(len(table)) >= round(0.9 * len(table))
    section = {"kind": "gpt", "size": "small", "tied": options.tied, **model}
    config = LanguageModeling.Config(inputs={"text": {"kind": "text"}}, tokenizer="characters", vocabulary=512, model=section)
    task = LanguageModeling(config, LanguageModeling(config).fit(table.filter(~held_out)))
    rows = task.encode(table)
    own = {"steps": options.steps, "threads": options.threads, "precision": options.precision, "batch_size": options.rows, "seed": seed}
    net = Trainer(task, task.arrange(rows, ~held_out), Training(**(BASE | own | training))).run().finish()
    return marks_of(task, net, task.arrange(rows, held_out))


def joined(each: list[Columns]) -> Columns:
    """The marks of all seeds as if they were rows of one split."""
    data = {name: np.concatenate([np.asarray(one[name]) for one in each]) for name in each[0].data}
    return Columns(data, np.arange(len(each) * len(each[0])))


def against(found: Columns, first: Columns, seeds: list[int]) -> str:
    """How far a variant lies from the first one."""
    if found is first:
        return ""
    low, high = paired_interval(NATS, found, first)
    apart = [NATS(found.take(part)) - NATS(first.take(part)) for part in np.split(np.arange(len(found)), len(seeds))]
    own = f" (seeds {', '.join(f'{one:+.4f}' for one in apart)})" if len(seeds) > 1 else ""
    return f"  {NATS(found) - NATS(first):+.4f} [{low:+.4f} … {high:+.4f}]{own}"


if __name__ == "__main__":
    main()
