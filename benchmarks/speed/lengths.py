"""Texts of mixed lengths (log-normal, up to 512 tokens): one epoch of the same encoder from the same weights, ours and Hugging Face's Trainer.

python benchmarks/speed/lengths.py [--rows 4000] [--rounds 5] [--threads 2] [--dropout 0.1] [--out FILE]

Needs `transformers` and `accelerate` in an environment of its own. Every side has the same rows, batches of 32, AdamW, a linear schedule and float32;
Trainer pads each batch to its longest row, at random and by `group_by_length`. `--dropout`: the share of values and of attention weights that the
nets drop, on every side (BERT's own: 0.1). Accuracy is of 1,000 held-out rows. Tokenizing is not timed on any side.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from pairs import compared, in_turn, options, show

LONGEST, BATCH, RATE, WORDS = 512, 32, 5e-4, 2000
HELD_OUT = 1000


def rows(count: int, seed: int) -> pl.DataFrame:
    """Texts whose label is told by one word in sixteen."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        label, length = int(rng.integers(0, 2)), int(np.clip(rng.lognormal(4.2, 0.9), 4, LONGEST - 2))
        words = rng.integers(10, WORDS, length)
        words[::16] = label * 5 + rng.integers(0, 5, len(words[::16]))
        texts.append(" ".join(f"w{word}" for word in words))
        labels.append("good" if label else "bad")
    return pl.DataFrame({"text": texts, "label": labels})


def checkpoint(folder: Path, dropout: float) -> None:
    """A BERT of 2 layers, 128 wide, with random weights, and its tokenizer."""
    from transformers import BertConfig, BertModel

    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(WORDS))]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 512}')
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(known), hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512,
        max_position_embeddings=LONGEST, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


class Theirs:
    """Trainer over the same rows."""

    def __init__(self, folder: Path, train: pl.DataFrame, test: pl.DataFrame, way: str) -> None:
        from transformers import AutoTokenizer

        self.folder, self.way, self.accuracy = folder, way, 0.0
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.train, self.test = self.encoded(train), self.encoded(test)

    def encoded(self, table: pl.DataFrame) -> list[dict[str, Any]]:
        """Token ids and labels."""
        ids = self.tokenizer(table["text"].to_list(), truncation=True, max_length=LONGEST)["input_ids"]
        return [{"input_ids": one, "labels": int(label == "good")} for one, label in zip(ids, table["label"], strict=True)]

    def __call__(self) -> float:
        """Seconds of one epoch."""
        from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

        torch.manual_seed(0)
        net = AutoModelForSequenceClassification.from_pretrained(self.folder, num_labels=2)
        arguments = TrainingArguments(
            output_dir=str(self.folder / "trainer"), num_train_epochs=1, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=RATE, weight_decay=0.01, lr_scheduler_type="linear", train_sampling_strategy=self.way, use_cpu=True, report_to=[],
            save_strategy="no", disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(net, arguments, train_dataset=self.train, data_collator=DataCollatorWithPadding(self.tokenizer))
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
        guesses = trainer.predict(self.test).predictions.argmax(1)
        self.accuracy = float((guesses == np.array([row["labels"] for row in self.test])).mean())
        return seconds


class Ours:
    """The engine over the same rows."""

    def __init__(self, folder: Path, train: pl.DataFrame, test: pl.DataFrame) -> None:
        from luban.recipe import parse

        model = {"kind": "bert", "pretrained": str(folder), "adapt": "full"}
        inputs = {"text": {"kind": "text", "max_length": LONGEST}}
        task = parse({"task": "classification", "data": "none", "target": "label", "inputs": inputs, "model": model}).make_task()
        self.task = type(task)(task.config, task.fit(train))
        self.train, self.test, self.accuracy = self.task.encode(train), self.task.encode(test), 0.0

    def __call__(self) -> float:
        """Seconds of one epoch."""
        from luban.evaluation.metrics import find
        from luban.predicting import marks_of
        from luban.training.loop import Trainer
        from luban.training.settings import Training

        torch.manual_seed(0)
        settings = Training(
            epochs=1, batch_size=BATCH, learning_rate=RATE, weight_decay=0.01, schedule="linear", warmup=0.0, precision="float32",
            threads=torch.get_num_threads(),
        )  # fmt: skip
        trainer = Trainer(self.task, self.train, settings)
        begun = time.perf_counter()
        trainer.run()
        seconds = time.perf_counter() - begun
        self.accuracy = find("accuracy")(marks_of(self.task, trainer.finish(), self.test))
        return seconds


def main() -> None:
    """Print a table."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--dropout", type=float, default=0.0)
    asked = parser.parse_args()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as name:
        checkpoint(Path(name), asked.dropout)
        train, test = rows(asked.rows, 0), rows(HELD_OUT, 1)
        sides: dict[str, Any] = {"ours": Ours(Path(name), train, test)}
        sides |= {f"Trainer, {way}": Theirs(Path(name), train, test, way) for way in ("random", "group_by_length")}
        found = in_turn(sides, asked.rounds)
    show(compared(found, sides, "seconds an epoch"), asked.out)


if __name__ == "__main__":
    main()
