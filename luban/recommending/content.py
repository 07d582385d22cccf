"""What describes the items: raw cells kept in the state, encoded by their kinds, given to a model item by item. I items."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from luban import catalog
from luban.bounded import deflated, inflated
from luban.columns import Columns
from luban.draw import Draw
from luban.errors import RecipeError
from luban.kinds import Spec
from luban.messages import tr
from luban.supervised import Sections, assign, encode_table, fit_inputs, model_config, of_one_vocabulary

KINDS = ("text", "category", "tags", "number", "date")
MOST_BYTES = 2_000_000_000


class Content:
    """The encoded columns of all items."""

    def __init__(self, specs: dict[str, Spec], columns: Columns) -> None:
        self.specs, self.columns = specs, columns

    def inputs(self, items: Tensor) -> dict[str, Any]:
        """Column -> what its kind makes of these items."""
        codes = items.cpu().numpy()
        quiet = Draw(0, 0, codes, training=False)
        return {
            name: catalog.load("kinds", spec["kind"]).collate(taken(self.columns[name], codes), spec, quiet)
            for name, spec in self.specs.items()
        }


def taken(values: Any, codes: np.ndarray) -> Any:
    """The cells of some items."""
    return values.take(codes) if hasattr(values, "take") and hasattr(values, "starts") else values[codes]


def check_kinds(inputs: Sections, where: str) -> None:
    """Raises RecipeError L164 for a kind that cannot describe an item yet."""
    for column, section in inputs.items():
        if section["kind"] not in KINDS:
            what = tr("items are described by other kinds of columns")
            raise RecipeError("L164", what, where=f"{where}: inputs.{column}", received=section["kind"], allowed=KINDS)


def fit(table: pl.DataFrame, codes: np.ndarray, num_items: int, inputs: Sections) -> dict[str, Any]:
    """Specs of the columns, and the first known cell of each item, packed."""
    known = pl.DataFrame({"": codes, **{name: table[name] for name in inputs}}).filter(pl.col("") >= 0)
    first = known.group_by("", maintain_order=True).agg(pl.col(name).drop_nulls().first() for name in inputs)
    frame = pl.DataFrame({"": np.arange(num_items)}).join(first, on="", how="left", maintain_order="left").drop("")
    specs = fit_inputs(inputs, frame)
    dated = [name for name in inputs if frame.schema[name].is_temporal()]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in dated)
    raw = json.dumps(frame.to_dict(as_series=False), ensure_ascii=False).encode()
    return {"inputs": specs, "content": {"size": len(raw), "packed": deflated(raw)}}


def content_of(state: dict[str, Any]) -> Content:
    """Encoded again. Raises ValueError where it is not such as `fit` makes."""
    packed = state["content"]
    return decoded(json.dumps(state["inputs"], sort_keys=True), packed["size"], packed["packed"], state["items"]["count"])


@lru_cache(maxsize=4)
def decoded(specs: str, size: int, text: str, count: int) -> Content:
    """Kept: a net is built more than once."""
    found = json.loads(specs)
    if size > MOST_BYTES:
        raise ValueError("content")
    cells = json.loads(inflated(text, size))
    if set(cells) != set(found) or any(len(values) != count for values in cells.values()):
        raise ValueError("content")
    columns = encode_table(pl.DataFrame(cells, strict=False, infer_schema_length=None), found)
    if len(columns) != count:
        raise ValueError("content")
    return Content(found, columns)


def encoders(section: dict[str, Any], specs: dict[str, Spec]) -> list[Any]:
    """One encoder for each column, or for all where the model reads many: named under `encoders`, else the kind's default."""
    kinds = {column: spec["kind"] for column, spec in specs.items()}
    return [
        catalog.load("models", own["kind"])(model_config(own), {column: specs[column] for column in columns})
        for own, group in assign(kinds, section)
        for columns in of_one_vocabulary(group, specs)
    ]
