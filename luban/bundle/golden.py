"""Golden rows: a few inputs and their answers, kept in the bundle and checked whenever it is opened."""

from __future__ import annotations

import base64
import datetime
import math
from pathlib import Path
from typing import Any

import polars as pl
from torch import nn

from luban.errors import BundleError
from luban.messages import tr
from luban.predicting import answers_of

NUMBER_OF_ROWS = 8
TOLERANCE = 1e-3


def golden_lines(task: Any, net: nn.Module, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The first rows that can be read, as JSON, with their answers; media is held as its bytes."""
    rows = embed_media(rows.head(NUMBER_OF_ROWS), task)
    answers, _, kept = answers_of(task, net, rows)
    inputs = [{name: to_json(value) for name, value in rows.row(int(place), named=True).items()} for place in kept]
    return [
        {"input": given, "answer": {k: to_json(v) for k, v in answer.items()}}
        for given, answer in zip(inputs, answers.to_dicts(), strict=True)
    ]


def embed_media(rows: pl.DataFrame, task: Any) -> pl.DataFrame:
    """Paths of pictures replaced by their bytes: a bundle never leans on files beside it."""
    for column, spec in (task.state or {}).get("inputs", {}).items():
        if spec.get("kind") == "image" and column in rows.columns and rows[column].dtype == pl.String:
            cells = [Path(path).read_bytes() if path and Path(path).is_file() else None for path in rows[column].to_list()]
            rows = rows.with_columns(pl.Series(column, cells, dtype=pl.Binary))
    return rows


def to_json(value: Any) -> Any:
    """A cell as JSON: bytes in base64, dates as text."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if isinstance(value, dict):
        return {key: to_json(part) for key, part in value.items()}
    return value


def from_json(value: Any) -> Any:
    """The cell again."""
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    return [from_json(part) for part in value] if isinstance(value, list) else value


def as_table(inputs: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of JSON as a table."""
    return pl.DataFrame([{name: from_json(value) for name, value in row.items()} for row in inputs], infer_schema_length=None, strict=False)


def check(task: Any, net: nn.Module, lines: list[dict[str, Any]], where: str) -> None:
    """Answer the golden rows again. Raises BundleError L406 where an answer is another."""
    if not lines:
        return
    if len(lines) > NUMBER_OF_ROWS or not all(is_harmless(line, task) for line in lines):
        raise BundleError("L403", tr("the golden rows are not such as Luban writes"), where=where)
    answers, _, _ = answers_of(task, net, as_table([line["input"] for line in lines]))
    for line, answer in zip(lines, answers.to_dicts(), strict=True):
        if not alike(line["answer"], {k: to_json(v) for k, v in answer.items()}):
            raise BundleError(
                "L406",
                tr("the bundle answers its own golden rows otherwise than when it was written"),
                where=where,
                received=answer,
                fix=tr("the machine or the libraries differ too much; train again here"),
            )


def is_harmless(line: Any, task: Any) -> bool:
    """Whether a row holds media as bytes only: nothing in a bundle may name a file to be opened."""
    inputs = line["input"]
    pictures = [column for column, spec in (task.state or {}).get("inputs", {}).items() if spec.get("kind") == "image"]
    return all(isinstance(inputs.get(column), dict) and set(inputs[column]) == {"base64"} for column in pictures)


def alike(kept: Any, now: Any) -> bool:
    """Equal, numbers within a tolerance."""
    if isinstance(kept, float | int) and isinstance(now, float | int) and not isinstance(kept, bool):
        return abs(kept - now) <= TOLERANCE * max(1.0, abs(kept))
    if isinstance(kept, dict) and isinstance(now, dict):
        return kept.keys() == now.keys() and all(alike(kept[key], now[key]) for key in kept)
    if isinstance(kept, list) and isinstance(now, list):
        return len(kept) == len(now) and all(alike(a, b) for a, b in zip(kept, now, strict=True))
    return kept == now
