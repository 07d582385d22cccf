"""Write a bundle from a fitted task and its net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import save_file
from torch import nn

import luban
from luban.bundle import format as layout
from luban.bundle.card import card
from luban.bundle.golden import golden_lines
from luban.bundle.migrations import take_tokenizers
from luban.bundle.read import signature_of
from luban.evaluation.figures import json_ready
from luban.recipe import Recipe, to_dict


def write(
    folder: Path, recipe: Recipe, task: Any, net: nn.Module, *, report: dict[str, Any], rows: pl.DataFrame, fingerprint: dict[str, Any]
) -> None:
    """`rows` are a few raw rows; their answers are kept and checked whenever the bundle is opened."""
    temporary = layout.begin(folder)
    description = {
        "format": layout.FORMAT,
        "luban": luban.__version__,
        "name": recipe.name,
        "task": recipe.task["kind"],
        "recipe": to_dict(recipe) | {"data": "", "model": task.config.model}
        if hasattr(task.config, "model")
        else to_dict(recipe) | {"data": ""},
        "signature": signature_of(recipe),
        "labels": getattr(task, "labels", None),
    }
    layout.write_json(temporary / "luban.json", description)
    state, tokenizers = take_tokenizers(task.state)
    layout.write_json(temporary / "state.json", state)
    if tokenizers:
        layout.write_json(temporary / "tokenizers.json", tokenizers)
    layout.write_json(temporary / "fingerprint.json", fingerprint)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}, temporary / "weights.safetensors")
    layout.write_json(temporary / "report.json", json_ready(report))
    (temporary / "golden.jsonl").write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in golden_lines(task, net, rows)), encoding="utf-8"
    )
    (temporary / "card.md").write_text(card(description, report), encoding="utf-8")
    layout.finish(temporary, folder)
