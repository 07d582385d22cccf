"""A translator of ours against the same-size model trained by transformers' Seq2SeqTrainer: tokens a second in turn, and chrF after the same minutes.

    python benchmarks/speed/translator.py RUN [--steps 60] [--rounds 5] [--minutes M] [--threads 2] [--bf16] [--out FILE]

RUN is the folder of a finished run (`benchmarks/seq2seq/en_fr.py` leaves one). Theirs is a Marian of the same width, depth, heads, vocabulary and
dropout, taught on the same rows, cut into the same tokens, in batches of as many rows, by AdamW at 5e-4 with a linear schedule and a warm-up of a
tenth, for as long as our network was taught (`--minutes 0`: not at all). Tokens are those of sources and targets, padding left out. Both answer the
validation rows that judged ours, by four beams; no test row is read. Needs `transformers` and `accelerate` in an environment of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import in_turn, options, ratio, show

from luban import recipe as recipes
from luban.data.prepare import prepare
from luban.evaluation.ladder import looked_at
from luban.evaluation.metrics import find
from luban.rewriting import overlap
from luban.rewriting.encoding import SOURCE, TARGET
from luban.run.folder import RECIPE
from luban.training.loop import Trainer

RATE, WARM, BEAMS = 5e-4, 0.1, 4


class Ours:
    """The engine, begun anew each time, with the recipe's own settings."""

    def __init__(self, prepared: Any, steps: int) -> None:
        self.prepared, self.steps = prepared, steps

    def __call__(self) -> float:
        """Tokens a second."""
        train = self.prepared.examples["train"]
        settings = replace(self.prepared.recipe.training, budget=None, steps=self.steps, threads=torch.get_num_threads())
        trainer = Trainer(self.prepared.task, train, settings)
        lengths = train[SOURCE].lengths + train[TARGET].lengths + 2  # with the ends of both
        count = sum(int(lengths[rows].sum()) for (_, rows), _ in zip(trainer.order(), range(self.steps), strict=False))
        begun = time.perf_counter()
        trainer.run()
        return count / (time.perf_counter() - begun)


class Theirs:
    """Seq2SeqTrainer over the same rows."""

    def __init__(self, prepared: Any, steps: int, *, bf16: bool) -> None:
        self.task, self.steps, self.bf16, self.count = prepared.task, steps, bf16, 0
        self.batch_size = prepared.recipe.training.batch_size
        self.pad, self.end = self.task.state["num_tokens"], self.task.sides.end
        train = prepared.examples["train"]
        self.rows = [
            {"input_ids": [*source, self.end], "labels": [*target, self.end]}
            for source, target in zip(as_lists(train[SOURCE]), as_lists(train[TARGET]), strict=True)
        ]

    def fresh(self) -> Any:
        """Their Marian, of our sizes; the token that begins and pads stands behind ours."""
        import transformers

        ours = self.task.settings
        size = {"d_model": ours.width, "vocab_size": self.pad + 1, "max_position_embeddings": ours.context + 2, "dropout": ours.dropout}
        for half, layers in (("encoder", ours.layers), ("decoder", ours.decoder_depth)):
            size |= {f"{half}_layers": layers, f"{half}_attention_heads": ours.heads, f"{half}_ffn_dim": ours.parts.hidden}
        special = {"pad_token_id": self.pad, "eos_token_id": self.end, "decoder_start_token_id": self.pad, "forced_eos_token_id": None}
        torch.manual_seed(0)
        return transformers.MarianMTModel(transformers.MarianConfig(**size, **special, scale_embedding=True))

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Padded to the longest."""
        self.count += sum(len(row["input_ids"]) + len(row["labels"]) for row in rows)
        tokens = self.padded([row["input_ids"] for row in rows], self.pad)
        return {
            "input_ids": tokens,
            "attention_mask": (tokens != self.pad).long(),
            "labels": self.padded([row["labels"] for row in rows], -100),
        }

    def padded(self, rows: list[list[int]], fill: int) -> torch.Tensor:
        """(B, T)"""
        longest = max(map(len, rows))
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])

    def taught(self, steps: int) -> Any:
        """The net after so many steps."""
        from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

        with tempfile.TemporaryDirectory() as name:
            arguments = Seq2SeqTrainingArguments(
                output_dir=name, max_steps=steps, per_device_train_batch_size=self.batch_size, learning_rate=RATE, warmup_steps=round(WARM * steps),
                lr_scheduler_type="linear", use_cpu=True, bf16=self.bf16, report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
            )  # fmt: skip
            trainer = Seq2SeqTrainer(self.fresh(), arguments, train_dataset=self.rows, data_collator=self.collate)  # type: ignore[arg-type]
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            return trainer.model

    def __call__(self) -> float:
        """Tokens a second."""
        self.count, begun = 0, time.perf_counter()
        self.taught(self.steps)
        return self.count / (time.perf_counter() - begun)

    def answers(self, net: Any, sources: list[list[int]], most: int) -> list[list[int]]:
        """By beams, like lengths together."""
        net, found = net.eval(), [[0]] * len(sources)
        order = np.argsort([len(source) for source in sources], kind="stable")
        for part in np.array_split(order, max(1, len(order) // self.batch_size)):
            tokens = self.padded([[*sources[place], self.end] for place in part], self.pad)
            with torch.inference_mode():
                made = net.generate(
                    tokens,
                    attention_mask=(tokens != self.pad).long(),
                    num_beams=BEAMS,
                    do_sample=False,
                    max_new_tokens=most,
                    bad_words_ids=[[self.pad]],
                )
            for place, row in zip(part, made[:, 1:].tolist(), strict=True):
                found[place] = [token for token in row if token not in (self.pad, self.end)]
        return found


def as_lists(ragged: Any) -> list[list[int]]:
    """A list a row."""
    return [ragged[row].tolist() for row in range(len(ragged))]


def score(theirs: Theirs, net: Any, rows: Any) -> float:
    """chrF of their answers."""
    sides = theirs.task.sides
    longest = int(rows[TARGET].lengths.max()) + 2
    said = [sides.decode(tokens).strip() for tokens in theirs.answers(net, as_lists(rows[SOURCE]), longest)]
    wanted = [sides.decode(tokens).strip() for tokens in as_lists(rows[TARGET])]
    counts = np.array([overlap.chrf(one, other) for one, other in zip(said, wanted, strict=True)])
    return 100 * float(overlap.chrf_score(counts.sum(0, keepdims=True))[0])


def main() -> None:
    """Print a table."""
    parser = options(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--minutes", type=float, help="that theirs is taught; left out, as long as ours was")
    parser.add_argument("--bf16", action="store_true", help="theirs in bfloat16 too")
    asked = parser.parse_args()
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    torch.set_num_threads(asked.threads)
    values, base = json.loads((asked.run / RECIPE).read_text(encoding="utf-8"))
    report = json.loads((asked.run / "report.json").read_text(encoding="utf-8"))
    prepared = prepare(recipes.parse(values, base=Path(base), name=asked.run.name), asked.run.parent / ".prepared")
    theirs = Theirs(prepared, asked.steps, bf16=asked.bf16)
    sides = {"ours": Ours(prepared, asked.steps), "Seq2SeqTrainer": theirs}
    found = in_turn(sides, asked.rounds)
    network = report["ladder"][-1]
    minutes = network["fit_seconds"] / 60 if asked.minutes is None else asked.minutes
    metric, scores = find("chrf"), {"ours": network["validation"]["chrf"]["value"], "Seq2SeqTrainer": float("nan")}
    if minutes:
        speed = float(np.median(found["Seq2SeqTrainer"]))
        each = sum(len(row["input_ids"]) + len(row["labels"]) for row in theirs.rows) / len(theirs.rows) * theirs.batch_size
        rows = looked_at(prepared.task, prepared.examples, metric, last=True)
        begun = time.perf_counter()
        net = theirs.taught(round(60 * minutes * speed / each))
        print(f"taught for {(time.perf_counter() - begun) / 60:.1f} minutes, ours for {network['fit_seconds'] / 60:.1f}")
        scores["Seq2SeqTrainer"] = score(theirs, net, rows)
    show(
        [
            {
                "side": name,
                "tokens a second": float(np.median(found[name])),
                "ours over it": ratio(found, "ours", name),
                "chrF": scores[name],
            }
            for name in sides
        ],
        asked.out,
    )


if __name__ == "__main__":
    main()
