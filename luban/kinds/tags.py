"""tags: any number of names at once, from a list or a text such as `red|blue`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Le, MinLen
from torch import Tensor

from luban import few, occluding
from luban.columns import Ragged
from luban.kinds import Encoded, Names, Spec
from luban.messages import tr

if TYPE_CHECKING:
    from luban.draw import Draw

ENCODER = "mlp"
SEPARATORS = ("|", ";", "；", "、", ",", "，")


class Tags:
    """Sets of codes; an empty set is an answer, a missing one is not."""

    occlusion = occluding.TAGS

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How tags are read and which are kept."""

        separator: Annotated[str, MinLen(1)] | None = None
        """Between tags written as text; left out, the first of | ; ； 、 , ， that occurs in the training rows."""
        max_tags: Annotated[int, Gt(0), Le(1_000_000)] = 10_000
        """The most frequent tags kept."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """The names, each once, and what stands between them in a text."""

        names: Names
        separator: Annotated[str, MinLen(1)]

        def __post_init__(self) -> None:
            if len(set(self.names)) < len(self.names):
                raise ValueError(tr("a name stands twice"))

    @staticmethod
    def fit(series: pl.Series, config: Tags.Config) -> Spec:
        """The tags of the training rows, sorted."""
        separator = config.separator or guess_separator(series)
        tags = split(series, separator).explode().drop_nulls().rename("name")
        kept = (
            tags.filter(tags != "").value_counts(sort=False, name="n").sort(["n", "name"], descending=[True, False]).head(config.max_tags)
        )
        return {"kind": "tags", "names": sorted(kept["name"].to_list()), "separator": separator}

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """Ragged int32 codes; unseen tags are left out; a missing set is the single code -1."""
        lists = few.sets(series, spec["separator"]) or split(series, spec["separator"]).to_list()
        code = few.places(spec["names"])
        sets = [[-1] if tags is None else sorted({code[tag] for tag in tags if tag in code}) for tags in lists]
        flat = np.fromiter((c for tags in sets for c in tags), np.int32)
        return Encoded(Ragged.of(flat, [len(tags) for tags in sets]), {})

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, K) float32, 1 where the tag is set; a missing set is all NaN."""
        hot = np.zeros((len(values), len(spec["names"])), np.float32)
        owner, _ = values.places()
        codes = values.flat()
        hot[owner[codes >= 0], codes[codes >= 0]] = 1
        hot[owner[codes < 0]] = np.nan
        return torch.from_numpy(hot)

    @staticmethod
    def decode(values: Any, spec: Spec) -> pl.Series:
        """(N, K) booleans back to lists of names."""
        names = np.asarray(spec["names"], object)
        return pl.Series([names[row].tolist() for row in np.asarray(values, bool)], dtype=pl.List(pl.String))

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Subsets of three tags, as text."""
        draws = np.random.default_rng(seed).random((count, 3)) < 0.4
        return pl.Series(["|".join(np.asarray(["热", "new", "x y"])[row]) for row in draws], dtype=pl.String)


def guess_separator(series: pl.Series) -> str:
    """The first usual separator that occurs; `|` where none does."""
    if series.dtype != pl.String:
        return "|"
    return next((s for s in SEPARATORS if series.str.contains(s, literal=True).any()), "|")


def split(series: pl.Series, separator: str) -> pl.Series:
    """Lists of stripped tags; null stays null."""
    if isinstance(series.dtype, pl.List):
        return series.cast(pl.List(pl.String))
    text = series.cast(pl.String)
    lists = text.str.strip_chars("[]() ").str.split(separator).list.eval(pl.element().str.strip_chars(" '\""))
    return lists.list.eval(pl.element().filter(pl.element() != ""))
