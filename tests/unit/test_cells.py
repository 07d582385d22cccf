"""Cells that could be read two ways: each is read by itself, as its writer meant it, or named as a fault."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image as Pillow

from luban.errors import DataError
from luban.kinds.category import Category
from luban.kinds.image import Image
from luban.kinds.number import Number
from luban.kinds.series import Series
from luban.supervised import encode_table, fit_inputs


def test_a_number_as_a_name_does_not_depend_on_its_neighbours() -> None:
    spec = Category.fit(pl.Series("c", [1.5, 2.0, 3.0]), Category.Config())
    assert spec["names"] == ["1.5", "2", "3"]
    for series in (pl.Series([2.0, 3.0]), pl.Series([2, 3]), pl.Series(["2", "3"])):
        assert Category.encode(series, spec).values.tolist() == [1, 2]
    assert Category.encode(pl.Series([float("nan"), 9.0]), spec).values.tolist() == [-1, -2]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1,234", 1234.0), ("1,234,567.5", 1234567.5), ("-12,000", -12000.0), ("3,14", None), ("1.000,50", None), ("12,34,567", None)],
)
def test_commas_are_thousands_or_a_fault(cell: str, value: float | None) -> None:
    spec = {"mean": 0.0, "spread": 1.0}
    found = Number.encode(pl.Series([cell]), spec)
    assert list(found.faults) == ([] if value is not None else [0])
    if value is not None:
        assert found.values[0] == pytest.approx(value)


def test_numbers_beyond_measure_are_missing() -> None:
    spec = Number.fit(pl.Series([1e200, 2.0, 4.0]), Number.Config())
    assert (spec["mean"], spec["spread"]) == (3.0, 1.0)
    fitted = Series.fit(pl.Series([[1.0, float("inf")], [3.0, 5.0]]), Series.Config())
    assert np.isfinite(fitted["mean"]).all()


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)).save(buffer, "PNG")
    cells = pl.Series([buffer.getvalue()] * 3)
    spec = Image.fit(cells, Image.Config())
    assert len(np.unique(Image.encode(cells, spec).values)) > 200


@pytest.mark.parametrize("kind", ["number", "category", "text"])
def test_lists_where_single_values_are_wanted_are_an_error(kind: str) -> None:
    table = pl.DataFrame({"x": [[1.0, 2.0], [3.0]]})
    with pytest.raises(DataError, match="L234"):
        fit_inputs({"x": {"kind": kind}}, table)
    spec = fit_inputs({"x": {"kind": kind}}, pl.DataFrame({"x": ["1", "2"]}))
    with pytest.raises(DataError, match="L234"):
        encode_table(table, spec)
