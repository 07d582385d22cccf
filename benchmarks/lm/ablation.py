"""What each ingredient of a small language model is worth: validation loss on tiny Shakespeare's characters after the same number of tokens.

python benchmarks/lm/ablation.py [--steps 120] [--data ../shared/data/shakespeare/input.txt] [--only NAME ...] [--threads 1]

The last tenth of the text is validation, as nanoGPT has it; rows of 256 characters, each scored in a context of its own.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luban.data.reading import Reading, read
from luban.evaluation.metrics import find
from luban.predicting import marks_of
from luban.tasks.language_modeling import LanguageModeling
from luban.training.loop import Trainer
from luban.training.settings import Training

BASE = {"optimizer": "muon", "learning_rate": 0.01, "schedule": "linear", "batch_size": 16, "precision": "float32", "device": "cpu"}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # model, training: what differs
    "as shipped": ({}, {}),
    "adamw instead of muon": ({}, {"optimizer": "adamw", "learning_rate": 2e-3}),
    "muon at half the rate": ({}, {"learning_rate": 0.005}),
    "muon at twice the rate": ({}, {"learning_rate": 0.02}),
    "without QK-norm": ({"qk_norm": False}, {}),
    "GELU instead of squared ReLU": ({"activation": "gelu"}, {}),
    "SwiGLU instead of squared ReLU": ({"activation": "swiglu"}, {}),
    "projections not from zero": ({"zero_init": False}, {}),
    "learned positions": ({"positions": "learned"}, {}),
    "cosine instead of linear": ({}, {"schedule": "cosine"}),
    "untied head": ({"tied": False}, {}),
    "rows of 128": ({"context": 128}, {"batch_size": 32}),
}


def main() -> None:
    """One line a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/shakespeare/input.txt"))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = read(options.data.name, Reading(text="file"), base=options.data.parent).table
    held_out = np.arange(len(table)) >= round(0.9 * len(table))
    for name in options.only:
        model, training = VARIANTS[name]
        config = LanguageModeling.Config(
            inputs={"text": {"kind": "text"}}, tokenizer="characters", vocabulary=512, model={"kind": "gpt", "size": "small", **model}
        )
        task = LanguageModeling(config, LanguageModeling(config).fit(table.filter(~held_out)))
        rows = task.encode(table)
        settings = Training(**(BASE | {"steps": options.steps, "threads": options.threads} | training))
        cpu = time.process_time()
        trainer = Trainer(task, task.arrange(rows, ~held_out), settings).run()
        cpu = time.process_time() - cpu
        net = trainer.finish()
        loss = find("nats_per_token")(marks_of(task, net, task.arrange(rows, held_out)))
        tokens = trainer.progress.seen * task.context
        print(
            f"{name:32} loss {loss:.4f} · {tokens / 1e6:.2f} M tokens · {cpu:.0f} CPU s · {tokens / cpu:.0f} tokens per CPU s", flush=True
        )


if __name__ == "__main__":
    main()
