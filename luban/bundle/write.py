"""Write a bundle from a fitted task and its net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import save as serialize
from torch import nn

import luban
from luban.bundle import format as layout
from luban.bundle.card import card
from luban.bundle.golden import golden_lines
from luban.bundle.migrations import take_tokenizers
from luban.bundle.read import signature_of
from luban.checkpoints.paths import named
from luban.evaluation.figures import json_ready
from luban.files import whole_folder
from luban.recipe import Recipe, to_dict


def write(
    folder: Path, recipe: Recipe, task: Any, net: nn.Module, *, report: dict[str, Any], rows: pl.DataFrame, fingerprint: dict[str, Any]
) -> None:
    """`rows` are a few raw rows; their answers are kept and checked whenever the bundle is opened."""
    description = {
        "format": layout.FORMAT,
        "luban": luban.__version__,
        "name": recipe.name,
        "task": recipe.task["kind"],
        "recipe": to_dict(recipe) | {"data": "", "model": named(getattr(task.config, "model", recipe.model))},
        "signature": signature_of(recipe),
        "labels": getattr(task, "labels", None),
    }
    whole(folder, description, task, net, report=report, golden=golden_lines(task, net, rows), fingerprint=fingerprint)


def rewrite(folder: Path, model: Any, report: dict[str, Any], golden: list[dict[str, Any]]) -> None:
    """An opened bundle with another net."""
    description = model.description | {"format": layout.FORMAT, "luban": luban.__version__}
    whole(folder, description, model.task, model.net, report=report, golden=golden, fingerprint=model.fingerprint)


def whole(
    folder: Path,
    description: dict[str, Any],
    task: Any,
    net: nn.Module,
    *,
    report: dict[str, Any],
    golden: list[dict[str, Any]],
    fingerprint: dict[str, Any],
) -> None:
    """All files, or none."""
    state, tokenizers = take_tokenizers(task.state)
    with whole_folder(folder) as beside:
        layout.write_json(beside / "luban.json", description)
        layout.write_json(beside / "state.json", state)
        if tokenizers:
            layout.write_json(beside / "tokenizers.json", tokenizers)
        layout.write_json(beside / "fingerprint.json", fingerprint)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
        (beside / layout.WEIGHTS).write_bytes(serialize(weights))
        layout.write_json(beside / "report.json", json_ready(report))
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in golden]
        (beside / "golden.jsonl").write_text("".join(lines), encoding="utf-8")
        (beside / "card.md").write_text(card(description, report), encoding="utf-8")
        layout.sign(beside)
