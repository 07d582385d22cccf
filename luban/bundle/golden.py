"""Golden rows: a few inputs and their answers, kept in the bundle and checked whenever it is opened."""

from __future__ import annotations

import base64
import datetime
import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from luban.capabilities import Repeats
from luban.columns import Columns
from luban.errors import BundleError
from luban.messages import tr
from luban.pictures import open_picture, read_cell
from luban.predicting import answers_of

NUMBER_OF_ROWS, LOOKED_AT = 8, 32
TOLERANCE = 1e-3
LOOSE = 0.05  # of nets with layers in 8 bits, whose products other processors round otherwise, or do in float32
MOST_SIZE = 4096  # tokens or steps of a golden row
MOST_PIXELS = 1_048_576  # of a golden picture
MOST_BYTES = 300_000  # of a golden row as JSON, pictures aside
MOST_PICTURE_BYTES = 200_000
MOST_DEPTH = 3  # a series is a list of lists of numbers


def golden_lines(task: Any, net: nn.Module, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """The first rows that can be read and are small, as JSON, with their answers; media is held as its bytes."""
    task = checked(task)
    rows = embed_media(rows.head(LOOKED_AT), task)
    columns = task.encode(rows)
    pictures = pictures_of(task)
    small = [place for place, row in enumerate(columns.row.tolist()) if is_small(given(rows, row), pictures, size_of(columns, place))]
    rows = rows[columns.row[small[:NUMBER_OF_ROWS]].tolist()]
    if not len(rows):
        return []
    answers, _, kept = answers_of(task, net, rows)
    if len(kept) < len(rows):  # several rows are one example: each is asked by one of its rows alone
        rows = rows[kept.tolist()]
        answers, _, kept = answers_of(task, net, rows)
    return [
        {"input": given(rows, int(place)), "answer": {k: to_json(v) for k, v in answer.items()}}
        for place, answer in zip(kept, answers.to_dicts(), strict=True)
    ]


def checked(task: Any) -> Any:
    """The task as it answers golden rows: one whose answers hang on ties, which machines break otherwise, brings a form of its own."""
    return task.checked() if isinstance(task, Repeats) else task


def given(rows: pl.DataFrame, place: int) -> dict[str, Any]:
    """One row as JSON."""
    return {name: to_json(value) for name, value in rows.row(place, named=True).items()}


def is_small(row: dict[str, Any], pictures: list[str], size: int = 0) -> bool:
    """Whether a row costs little to keep, to read and to answer."""
    return size <= MOST_SIZE and len(json.dumps({name: value for name, value in row.items() if name not in pictures})) <= MOST_BYTES


def size_of(columns: Columns, place: int) -> int:
    """What a row costs in a batch."""
    return 0 if columns.size is None else int(columns.size[place])


def pictures_of(task: Any) -> list[str]:
    """The columns that hold pictures."""
    return [column for column, spec in (task.state or {}).get("inputs", {}).items() if spec.get("kind") == "image"]


def embed_media(rows: pl.DataFrame, task: Any) -> pl.DataFrame:
    """Pictures as their bytes: a bundle never leans on files beside it; large ones as the model sees them."""
    for column in pictures_of(task):
        if column in rows.columns:
            spec = task.state["inputs"][column]
            rows = rows.with_columns(pl.Series(column, [embedded(cell, spec) for cell in rows[column].to_list()], dtype=pl.Binary))
    return rows


def embedded(cell: Any, spec: dict[str, Any]) -> bytes | None:
    """The bytes of a picture, or a PNG of the model's size where they are many; None for one that can't be read."""
    from PIL import Image as Pillow

    from luban.pictures import decode_cell

    data, _ = read_cell(cell)
    picture, _ = open_picture(data) if data is not None else (None, "")
    if picture is None or data is None:
        return None
    if len(data) <= MOST_PICTURE_BYTES and picture.width * picture.height <= MOST_PIXELS:
        return data
    array, _ = decode_cell(data, spec["size"], spec["channels"])
    if array is None:
        return None
    buffer = io.BytesIO()
    Pillow.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


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


def check(task: Any, net: nn.Module, lines: list[Any], where: str, tolerance: float = TOLERANCE) -> None:
    """Answer the golden rows again. Raises BundleError L403, L406 where an answer is another."""
    if not lines:
        return
    task = checked(task)
    if len(lines) > NUMBER_OF_ROWS or not all(is_harmless(line, task) for line in lines):
        raise BundleError("L403", tr("the golden rows are not such as Luban writes"), where=where)
    rows = as_table([line["input"] for line in lines])
    columns = task.encode(rows)
    if len(columns) < len(lines) or max(size_of(columns, place) for place in range(len(columns))) > MOST_SIZE:
        raise BundleError("L403", tr("the golden rows are not such as Luban writes"), where=where)
    answers, _, _ = answers_of(task, net, rows)
    for line, answer in zip(lines, answers.to_dicts(), strict=True):
        if not alike(line["answer"], {k: to_json(v) for k, v in answer.items()}, tolerance):
            raise BundleError(
                "L406",
                tr("the bundle answers its own golden rows otherwise than when it was written"),
                where=where,
                received=answer,
                fix=tr("the machine or the libraries differ too much; train again here"),
            )


def is_harmless(line: Any, task: Any) -> bool:
    """Whether a row holds values alone: nothing in a bundle may name a file to be opened, and a picture is small."""
    if not isinstance(line, dict) or set(line) != {"input", "answer"} or not isinstance(line["input"], dict):
        return False
    pictures = pictures_of(task)
    harmless = all(is_picture(value) if column in pictures else is_plain(value) for column, value in line["input"].items())
    return harmless and is_small(line["input"], pictures)


def is_picture(value: Any) -> bool:
    """Whether it is the bytes of a small picture."""
    if not isinstance(value, dict) or set(value) != {"base64"}:
        return False
    picture, _ = open_picture(from_json(value))
    return picture is not None and picture.width * picture.height <= MOST_PIXELS


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether it is a value, or lists of values, or of turns that have a few by name: a conversation. Bytes are none of them."""
    if isinstance(value, list):
        return depth < MOST_DEPTH and all(is_plain(part, depth + 1) for part in value)
    if isinstance(value, dict):
        return bool(depth) and "base64" not in value and all(part is None or isinstance(part, str) for part in value.values())
    return True


def alike(kept: Any, now: Any, tolerance: float = TOLERANCE) -> bool:
    """Equal, numbers within a tolerance."""
    if isinstance(kept, float | int) and isinstance(now, float | int) and not isinstance(kept, bool):
        return abs(kept - now) <= tolerance * max(1.0, abs(kept))
    if isinstance(kept, dict) and isinstance(now, dict):
        return kept.keys() == now.keys() and all(alike(kept[key], now[key], tolerance) for key in kept)
    if isinstance(kept, list) and isinstance(now, list):
        return len(kept) == len(now) and all(alike(a, b, tolerance) for a, b in zip(kept, now, strict=True))
    return kept == now
