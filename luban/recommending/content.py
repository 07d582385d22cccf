"""What describes items, or users: raw cells kept in the state, encoded by their kinds, given to a model one by one. I items or users, B asked."""

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

KINDS = ("text", "category", "tags", "number", "date", "image")
ABOUT = "about:"  # before the name of a column, in the columns of a question
MOST_BYTES = 2_000_000_000


class Content:
    """The encoded columns of all items, or of all users."""

    def __init__(self, specs: dict[str, Spec], columns: Columns) -> None:
        self.specs, self.columns = specs, columns

    def inputs(self, items: Tensor) -> dict[str, Any]:
        """Column -> what its kind makes of these items."""
        codes = items.cpu().numpy()
        return collated({name: taken(self.columns[name], codes) for name in self.specs}, self.specs)


def collated(columns: Any, specs: dict[str, Spec]) -> dict[str, Any]:
    """Column -> tensors of one row an item, without noise."""
    count = next((len(values) for values in columns.values()), 0)
    quiet = Draw(0, 0, np.arange(count), training=False)
    return {name: catalog.load("kinds", spec["kind"]).collate(columns[name], spec, quiet) for name, spec in specs.items()}


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
    """Specs of the columns, and the first known cell of each item, packed; of pictures what they are decoded to."""
    known = pl.DataFrame({"": codes, **{name: table[name] for name in inputs}}).filter(pl.col("") >= 0)
    first = known.group_by("", maintain_order=True).agg(pl.col(name).drop_nulls().first() for name in inputs)
    frame = pl.DataFrame({"": np.arange(num_items)}).join(first, on="", how="left", maintain_order="left").drop("")
    specs = fit_inputs(inputs, frame)
    pictures = [name for name in inputs if specs[name]["kind"] == "image"]
    seen = encoded(frame.select(pictures), {name: specs[name] for name in pictures})
    frame = frame.drop(pictures)
    dated = [name for name in frame.columns if frame.schema[name].is_temporal()]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in dated)
    raw = json.dumps(frame.to_dict(as_series=False), ensure_ascii=False).encode()
    packed = {"size": len(raw), "packed": deflated(raw)}
    return {"inputs": specs, "content": packed | {"pictures": {name: deflated(seen[name].tobytes()) for name in pictures}}}


def encoded(frame: pl.DataFrame, specs: dict[str, Spec]) -> dict[str, Any]:
    """Column -> cells as their kinds encode them; a picture that is missing or cannot be read is one of the mean colour."""
    plain = {name: spec for name, spec in specs.items() if spec["kind"] != "image"}
    out = dict(encode_table(frame, plain).data) if plain else {}
    for name, spec in specs.items():
        if spec["kind"] == "image":
            values, faults, _ = catalog.load("kinds", "image").encode(frame[name], spec)
            values[list(faults)] = np.array(spec["fill"], np.uint8)[:, None, None]
            out[name] = values
    return out


def asked(table: pl.DataFrame, specs: dict[str, Spec]) -> dict[str, Any]:
    """What the rows of a question say of their users: encoded columns, those that are not there empty; {} without any."""
    there = [name for name in specs if name in table.columns]
    frame = table.select(pl.col(name) if name in there else pl.lit(None).alias(name) for name in specs)
    return {ABOUT + name: values for name, values in encoded(frame, specs).items()} if there else {}


def about(examples: Columns, specs: dict[str, Spec]) -> dict[str, Any]:
    """The same as tensors."""
    there = {name: examples[ABOUT + name] for name in specs if ABOUT + name in examples}
    return collated(there, specs) if there else {}


def content_of(fitted: dict[str, Any], count: int) -> Content:
    """Encoded again. Raises ValueError where it is not such as `fit` makes."""
    packed = fitted["content"]
    pictures = tuple(sorted(packed.get("pictures", {}).items()))
    return decoded(json.dumps(fitted["inputs"], sort_keys=True), packed["size"], packed["packed"], pictures, count)


@lru_cache(maxsize=4)
def decoded(specs: str, size: int, text: str, pictures: tuple[tuple[str, str], ...], count: int) -> Content:
    """Kept: a net is built more than once."""
    found = json.loads(specs)
    if size > MOST_BYTES:
        raise ValueError("content")
    cells = json.loads(inflated(text, size))
    plain = {name: spec for name, spec in found.items() if name in cells}
    if {*cells, *dict(pictures)} != set(found) or any(len(values) != count for values in cells.values()):
        raise ValueError("content")
    columns = encode_table(pl.DataFrame(cells, strict=False, infer_schema_length=None), plain) if plain else Columns({}, np.arange(count))
    if len(columns) != count:
        raise ValueError("content")
    seen = {name: unpacked(packed, found[name], count) for name, packed in pictures}
    return Content(found, Columns({**columns.data, **seen}, columns.row))


def unpacked(text: str, spec: Spec, count: int) -> np.ndarray:
    """(I, C, H, W) uint8. Raises ValueError for another number of pixels."""
    shape = (count, spec["channels"], *spec["size"])
    size = int(np.prod(shape, dtype=np.int64))
    if spec["kind"] != "image" or size > MOST_BYTES:
        raise ValueError("content")
    return np.frombuffer(inflated(text, size), np.uint8).reshape(shape)


def encoders(section: dict[str, Any], specs: dict[str, Spec]) -> list[Any]:
    """One encoder for each column, or for all where the model reads many: named under `encoders`, else the kind's default."""
    kinds = {column: spec["kind"] for column, spec in specs.items()}
    return [
        catalog.load("models", own["kind"])(model_config(own), {column: specs[column] for column in columns})
        for own, group in assign(kinds, section)
        for columns in of_one_vocabulary(group, specs)
    ]
