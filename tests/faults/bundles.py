"""Tiny bundles to be tampered with, and the hands that do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from luban import recipe as recipes
from luban.bundle import format as layout
from luban.bundle.fingerprint import fingerprint
from luban.bundle.write import write
from luban.catalog import load

ROWS = 40
BASES: dict[str, dict[str, Any]] = {
    "mixed": {
        "inputs": {"t": "text", "x": "number", "c": "category", "d": "date", "g": "tags"},
        "model": {"kind": "mlp", "size": "tiny", "hidden": [5], "encoders": {"text": {"kind": "ngrams", "buckets": 31, "width": 3}}},
    },
    "picture": {"inputs": {"i": "image"}, "model": {"kind": "convnet", "channels": [2, 3], "convolutions": 1}},
    "series": {"inputs": {"s": "series"}, "model": {"kind": "transformer", "width": 4, "heads": 2, "layers": 1}},
    "linear": {"inputs": {"t": "text", "x": "number"}, "model": {"kind": "linear", "buckets": 7}},
    "boosted": {"inputs": {"x": "number", "c": "category"}, "model": {"kind": "boosted", "rounds": 8, "leaves": 5}},
    "number": {"task": "regression", "inputs": {"x": "number"}, "model": {"kind": "mlp", "size": "tiny", "hidden": [5]}},
}
COLUMNS = {"t": "text", "x": "number", "c": "category", "d": "date", "g": "tags", "i": "image", "s": "series"}


def make(folder: Path, base: str) -> Path:
    """A good bundle of an untrained net."""
    rng = np.random.default_rng(0)
    asked = {"task": "classification"} | BASES[base]
    target = rng.normal(0, 1, ROWS) if asked["task"] == "regression" else np.where(rng.random(ROWS) < 0.5, "yes", "no")
    table = pl.DataFrame({name: load("kinds", COLUMNS[name]).demo(ROWS, 1) for name in asked["inputs"]} | {"y": target})
    recipe = recipes.parse(asked | {"data": "none", "target": "y"}, name="tiny")
    task = recipe.make_task()
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table))))
    torch.manual_seed(0)
    net = task.build().eval()
    sketch = fingerprint(task.encode(table), [])
    write(folder, recipe, task, net, report={}, rows=table.drop("y"), fingerprint=sketch)
    return folder


def copied(base: Path, folder: Path) -> Path:
    """A bundle of one's own."""
    shutil.copytree(base, folder)
    return folder


def edit(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the value of a JSON file; what the change returns, if anything, stands in its place."""
    value = json.loads((folder / name).read_text())
    changed = change(value)
    (folder / name).write_text(json.dumps(value if changed is None else changed))


def edit_golden(folder: Path, change: Callable[[list[Any]], Any]) -> None:
    """Change the golden rows."""
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    changed = change(lines)
    (folder / "golden.jsonl").write_text("\n".join(json.dumps(line) for line in (lines if changed is None else changed)) + "\n")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the tensors."""
    weights = {name: tensor.clone() for name, tensor in load_file(folder / layout.WEIGHTS).items()}
    changed = change(weights)
    save_file(changed if isinstance(changed, dict) else weights, folder / layout.WEIGHTS)


def edit_header(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the head of the weights."""
    data = (folder / layout.WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    changed = change(header)
    new = changed if isinstance(changed, bytes) else json.dumps(header if changed is None else changed).encode()
    (folder / layout.WEIGHTS).write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])
