"""How a cell of each kind is left out, whole or part by part, so that one can look how much an answer hung on it.

What stands in the place of a cell is nothing strange to the model: the middle of the training rows, the other names in turn, an empty text.
A kind names its way in the attribute `occlusion`; one that names none is left out as missing, whole.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

MOST_PARTS = 64  # of one cell
MOST_NAMES = 12  # that stand in for another, one after the other
WINDOWS = 16  # of a series
SIDE = 8  # patches a side of a picture
CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+(?:['’-][^\W{CJK}]+)*|[^\w\s]+")


@dataclass(frozen=True)
class Part:
    """A part of a cell, and the cell without it."""

    where: dict[str, Any]
    without: Any


@dataclass(frozen=True)
class Occlusion:
    """`plain`: cells as values of `dtype`. `instead`: what stands for a whole cell, in turn. `parts`: the cell part by part."""

    plain: Callable[[pl.Series, dict[str, Any]], list[Any]]
    dtype: Any
    instead: Callable[[Any, dict[str, Any]], list[Any]]
    parts: Callable[[Any, dict[str, Any]], list[Part]] = lambda cell, spec: []


def grouped(count: int, most: int = MOST_PARTS) -> list[range]:
    """Neighbours together, as evenly as can be, in `most` groups."""
    edges = np.linspace(0, count, min(count, most) + 1).round().astype(int).tolist()
    return [range(low, high) for low, high in pairwise(edges)]


def words(cell: Any, spec: dict[str, Any]) -> list[Part]:
    """A text without each word, Chinese and Japanese without each character; of long texts several together."""
    text = str(cell or "")
    spans = [found.span() for found in WORD.finditer(text)]
    out = []
    for group in grouped(len(spans)):
        start, end = spans[group[0]][0], spans[group[-1]][1]
        out.append(Part({"text": text[start:end], "start": start, "end": end}, cut(text, start, end)))
    return out


def cut(text: str, start: int, end: int) -> str:
    """Without a span, and without the space that would be left over: beside another, at the beginning, or at the end."""
    before, after = text[:start], text[end:]
    if after[:1].isspace() and (not before or before[-1].isspace()):
        after = after[1:]
    elif not after and before[-1:].isspace():
        before = before[:-1]
    return before + after


def middle(cell: Any, spec: dict[str, Any]) -> list[Any]:
    """The median of the training rows."""
    quantiles = spec["quantiles"]
    return [quantiles[len(quantiles) // 2] * spec["spread"] + spec["mean"]]


def numbers(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them."""
    from luban.kinds.number import parse

    return [float(value) if np.isfinite(value) else None for value in parse(series)[0]]


def names(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them."""
    from luban.kinds.category import as_names

    return as_names(series).to_list()


def others(cell: Any, spec: dict[str, Any]) -> list[Any]:
    """Other names of the training rows; where there are many, some of them."""
    known = [name for name in spec["names"] if name != cell]
    return [known[group[0]] for group in grouped(len(known), MOST_NAMES)] or [None]


def instants(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them."""
    from luban.kinds.date import parse

    return parse(series, spec["format"]).to_list()


def midday(cell: Any, spec: dict[str, Any]) -> list[Any]:
    """The middle of the span of the training rows."""
    days = spec["first_day"] + spec["span_days"] / 2
    return [datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(days=round(days))]


def tag_lists(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them."""
    from luban.kinds.tags import split

    return split(series, spec["separator"]).to_list()


def tags(cell: Any, spec: dict[str, Any]) -> list[Part]:
    """A set without each tag."""
    return [Part({"tag": tag}, [other for other in cell if other != tag]) for tag in (cell or [])[:MOST_PARTS]]


def steps(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them, as far as the model looks."""
    from luban.kinds.series import parse

    found = [parse(cell)[0] for cell in series.to_list()]
    return [None if array is None else json.dumps(array[: spec["max_length"]].tolist()) for array in found]


def flat(cell: Any, spec: dict[str, Any]) -> list[Any]:
    """A series that stays at its own mean."""
    array = np.array(json.loads(cell), np.float64)
    return [json.dumps(np.broadcast_to(np.nanmean(array, 0), array.shape).tolist())]


def windows(cell: Any, spec: dict[str, Any]) -> list[Part]:
    """A series with each window at the mean of the whole."""
    array = np.array(json.loads(cell), np.float64)
    out = []
    for group in grouped(len(array), WINDOWS):
        changed = array.copy()
        changed[group.start : group.stop] = np.nanmean(array, 0)
        out.append(Part({"from": group.start, "to": group.stop}, json.dumps(changed.tolist())))
    return out


def pictures(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the model sees them, in a format that loses nothing."""
    from luban.pictures import decode_cell

    found = [decode_cell(cell, tuple(spec["size"]), spec["channels"])[0] for cell in series.to_list()]
    return [None if array is None else as_png(array) for array in found]


def as_png(array: np.ndarray) -> bytes:
    """(C, H, W) uint8 -> bytes."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, 2)).save(out, "PNG")
    return out.getvalue()


def blank(cell: Any, spec: dict[str, Any]) -> list[Any]:
    """Nothing but the mean of the training rows' colours."""
    fill = np.array(spec["fill"], np.uint8)
    return [as_png(np.broadcast_to(fill[:, None, None], (len(fill), *spec["size"])))]


def patches(cell: Any, spec: dict[str, Any]) -> list[Part]:
    """A picture with each patch blanked (Zeiler and Fergus 2014, section 4.2); boxes are shares of width and height: left, top, right, bottom."""
    from luban.pictures import decode_cell

    height, width = spec["size"]
    array, _ = decode_cell(cell, (height, width), spec["channels"])
    fill, out = np.array(spec["fill"], np.uint8)[:, None, None], []
    if array is None:
        return []
    for rows in grouped(height, SIDE):
        for columns in grouped(width, SIDE):
            changed = array.copy()
            changed[:, rows.start : rows.stop, columns.start : columns.stop] = fill
            box = [columns.start / width, rows.start / height, columns.stop / width, rows.stop / height]
            out.append(Part({"box": box}, as_png(changed)))
    return out


def texts(series: pl.Series, spec: dict[str, Any]) -> list[Any]:
    """As the kind reads them."""
    from luban.kinds.text import as_text

    return as_text(series).to_list()


NUMBER = Occlusion(numbers, pl.Float64, middle)
CATEGORY = Occlusion(names, pl.String, others)
DATE = Occlusion(instants, pl.Datetime("us"), midday)
TEXT = Occlusion(texts, pl.String, lambda cell, spec: [""], words)
TAGS = Occlusion(tag_lists, pl.List(pl.String), lambda cell, spec: [[]], tags)
SERIES = Occlusion(steps, pl.String, flat, windows)
IMAGE = Occlusion(pictures, pl.Binary, blank, patches)
MISSING = Occlusion(lambda series, spec: series.to_list(), None, lambda cell, spec: [None])
