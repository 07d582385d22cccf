"""category: one of a closed set of names; what training never saw is one name more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Le
from torch import Tensor

from luban import few, occluding
from luban.errors import warn
from luban.kinds import Encoded, Names, Spec
from luban.messages import tr

if TYPE_CHECKING:
    from luban.draw import Draw

ENCODER = "mlp"
MISSING, UNSEEN = -1, -2


class Category:
    """Codes 0 … K - 1 for the names of the training rows, in sorted order; -1 missing, -2 never seen."""

    occlusion = occluding.CATEGORY

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which names are kept."""

        max_categories: Annotated[int, Gt(0), Le(1_000_000)] = 10_000
        """The most frequent names kept; rarer ones count as never seen. A guard: an id is not a category."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """The names, each once."""

        names: Names

        def __post_init__(self) -> None:
            if len(set(self.names)) < len(self.names):
                raise ValueError(tr("a name stands twice"))

    @staticmethod
    def fit(series: pl.Series, config: Category.Config) -> Spec:
        """Sorted names of the training rows; ties in frequency fall to the smaller name."""
        counts = as_names(series).drop_nulls().rename("name").value_counts(sort=False, name="n")
        if len(counts) > config.max_categories:
            warn(
                "W210",
                tr(
                    "{n} categories; the {kept} most frequent are kept, the others count as never seen",
                    n=len(counts),
                    kept=config.max_categories,
                ),
                where=series.name,
                fix=tr("leave the column out of [inputs] if it is an id"),
            )
        kept = counts.sort(["n", "name"], descending=[True, False]).head(config.max_categories)
        return {"kind": "category", "names": sort_names(kept["name"].to_list())}

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """(N,) int32 codes."""
        if (found := few.names(series)) is not None:
            return Encoded(few.codes(found, spec["names"], missing=MISSING, unseen=UNSEEN), {})
        names = as_names(series)
        codes = names.replace_strict(spec["names"], range(len(spec["names"])), default=UNSEEN, return_dtype=pl.Int32)
        codes = pl.select(pl.when(names.is_null()).then(MISSING).otherwise(codes).cast(pl.Int32)).to_series()
        return Encoded(codes.to_numpy(), {})

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B,) int64: 0 = missing or never seen, 1 … K = the names."""
        return torch.from_numpy(np.maximum(np.asarray(values, np.int64) + 1, 0))

    @staticmethod
    def decode(values: Any, spec: Spec) -> pl.Series:
        """Codes back to names."""
        return pl.Series(np.asarray(spec["names"], object)[np.asarray(values)].tolist(), dtype=pl.String)

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Three cities, one row in eleven missing."""
        draws = np.random.default_rng(seed).integers(0, 3, count)
        return pl.Series([None if i % 11 == 10 else ("北京", "上海", "Wien")[d] for i, d in enumerate(draws)], dtype=pl.String)


def as_names(series: pl.Series) -> pl.Series:
    """Names as text; whole floats lose their point, blanks are missing."""
    if series.dtype.is_float():  # each value by itself: a chunk must not decide for another
        whole = (series % 1 == 0).fill_null(False)
        named = pl.select(pl.when(whole).then(series.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(series.cast(pl.String)))
        return pl.select(pl.when(series.is_finite()).then(named.to_series())).to_series()
    if series.dtype == pl.Boolean:
        series = series.cast(pl.Int8).replace_strict([0, 1], ["false", "true"], return_dtype=pl.String)
    text = series.cast(pl.String).str.strip_chars()
    return pl.select(pl.when(text == "").then(None).otherwise(text)).to_series()


def sort_names(names: list[str]) -> list[str]:
    """Numbers by value, then names by code point."""
    if all(is_number(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def is_number(name: str) -> bool:
    """Whether the name is a plain number."""
    return name.lstrip("+-").replace(".", "", 1).isdecimal() and name.isascii()
