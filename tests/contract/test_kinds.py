"""What every kind of column promises: a spec of JSON, chunked = whole, faults named, shapes fixed, decode the inverse."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image as Pillow

from luban import catalog
from luban.columns import Ragged, join_arrays
from luban.draw import Draw
from luban.errors import DataError, RecipeError
from luban.schema import field_docs, validate

ROWS = 43
NONE = Draw(0, 0, np.arange(5), training=False)
KINDS = tuple(catalog.entries("kinds"))
COLLATED = {  # of five demo rows: trailing shape (None = the longest), dtype
    "number": ((), torch.float32),
    "category": ((), torch.int64),
    "tags": ((3,), torch.float32),
    "date": ((9,), torch.float32),
    "text": ((None,), torch.int64),
    "series": ((None, 2), torch.float32),
    "image": ((1, 11, 13), torch.float32),
}
WRONG = {"number": "twelve", "date": "the day after", "series": "[1, [2]]", "image": b"no picture"}
NEVER_WRONG = {"category": "never seen", "tags": "never|seen", "text": "\x00 \U0001f600 𠀀 never seen"}

every = pytest.mark.parametrize("kind", KINDS)


def made(kind: str) -> tuple[Any, pl.Series, dict[str, Any]]:
    """(kind, demo column, spec)."""
    one = catalog.load("kinds", kind)
    series = one.demo(ROWS, 1).alias("x")
    return one, series, one.fit(series, one.Config())


def parts(values: Any) -> list[np.ndarray]:
    """Arrays to compare."""
    return [values.flat(), values.lengths] if isinstance(values, Ragged) else [values]


def same(one: Any, other: Any) -> None:
    """Equal to the last bit."""
    for a, b in zip(parts(one), parts(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@every
def test_what_is_fitted_is_what_a_bundle_may_hold(kind: str) -> None:
    one, _, spec = made(kind)
    held = {key: value for key, value in json.loads(json.dumps(spec)).items() if key != "kind"}
    validate(one.Fitted, held, where="spec")
    for key in held:
        with pytest.raises(RecipeError):
            validate(one.Fitted, held | {key: {"a": [{}]}}, where="spec")


def test_every_kind_is_tested() -> None:
    assert set(COLLATED) == set(KINDS)
    assert {*WRONG, *NEVER_WRONG} == set(KINDS)


@every
def test_its_default_model_reads_it(kind: str) -> None:
    assert kind in catalog.find("models", catalog.find("kinds", kind).stated["ENCODER"]).takes


@every
def test_every_setting_is_described_and_unknown_ones_are_refused(kind: str) -> None:
    config = catalog.load("kinds", kind).Config
    assert set(field_docs(config)) == set(config.__dataclass_fields__)
    with pytest.raises(RecipeError, match="L104"):
        validate(config, {"no such": 1}, where="inputs.x")


@every
def test_demo_is_a_function_of_count_and_seed(kind: str) -> None:
    demo = catalog.load("kinds", kind).demo
    assert len(demo(13, 0)) == 13
    assert demo(13, 0).equals(demo(13, 0))
    assert not demo(13, 0).equals(demo(13, 1))


@every
def test_the_spec_is_json_and_encodes_the_same_after_it(kind: str) -> None:
    one, series, spec = made(kind)
    again = json.loads(json.dumps(spec, allow_nan=False))
    assert again["kind"] == kind
    same(one.encode(series, spec).values, one.encode(series, again).values)
    values = one.encode(series, again).values
    five = values.take(np.arange(5)) if isinstance(values, Ragged) else values[:5]
    torch.testing.assert_close(one.collate(five, spec, NONE), one.collate(five, again, NONE), equal_nan=True)


@every
@pytest.mark.parametrize("cut", [1, 11])
def test_encoding_in_chunks_is_encoding_the_whole(kind: str, cut: int) -> None:
    one, series, spec = made(kind)
    whole = one.encode(series, spec)
    chunks = [one.encode(series[start : start + cut], spec) for start in range(0, ROWS, cut)]
    same(whole.values, join_arrays([chunk.values for chunk in chunks]))
    if whole.size is not None:
        np.testing.assert_array_equal(whole.size, np.concatenate([chunk.size for chunk in chunks]))
    assert not whole.faults


@every
def test_no_rows_are_encoded_to_no_rows(kind: str) -> None:
    one, series, spec = made(kind)
    encoded = one.encode(series[:0], spec)
    assert len(encoded.values) == 0
    assert not encoded.faults


@every
def test_a_batch_has_its_shape_and_type(kind: str) -> None:
    one, series, spec = made(kind)
    values = one.encode(series[:5], spec).values
    longest = int(values.lengths.max()) if kind in ("text", "series") else -1
    shape, dtype = COLLATED[kind]
    batch = one.collate(values, spec, NONE)
    assert batch.shape == (5, *(longest if width is None else width for width in shape))
    assert batch.dtype == dtype


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_such_thing_is_named_with_its_place(kind: str) -> None:
    one, series, spec = made(kind)
    cells = series[:3].to_list() if kind == "image" else [json.dumps(c) if isinstance(c, list) else str(c) for c in series[:3].to_list()]
    mixed = pl.Series("x", [cells[0], WRONG[kind], cells[1]], dtype=pl.Binary if kind == "image" else pl.String)
    encoded = one.encode(mixed, spec)
    assert set(encoded.faults) == {1}
    assert len(encoded.faults[1]) > 10
    assert len(encoded.values) == 3
    good = one.encode(mixed.gather([0, 2]), spec).values
    same(encoded.values.take(np.array([0, 2])) if isinstance(encoded.values, Ragged) else encoded.values[[0, 2]], good)


@pytest.mark.parametrize("kind", NEVER_WRONG)
def test_what_training_never_saw_is_no_fault(kind: str) -> None:
    one, _, spec = made(kind)
    encoded = one.encode(pl.Series("x", [NEVER_WRONG[kind]]), spec)
    assert not encoded.faults
    assert len(encoded.values) == 1


@pytest.mark.parametrize(("kind", "expected"), [("number", np.nan), ("category", 0), ("tags", np.nan), ("date", np.nan), ("text", None)])
def test_what_is_missing_is_no_fault_and_is_told_to_the_model(kind: str, expected: float | None) -> None:
    one, _, spec = made(kind)
    for nothing in (pl.Series("x", [None, None], dtype=pl.String), pl.Series("x", [None, None])):
        encoded = one.encode(nothing, spec)
        assert not encoded.faults
        batch = one.collate(encoded.values, spec, NONE)
        assert len(batch) == 2
        if expected is not None:
            np.testing.assert_array_equal(batch.double().numpy(), np.full(batch.shape, expected))


@pytest.mark.parametrize("kind", ["series", "image"])
def test_what_cannot_be_missing_is_a_fault(kind: str) -> None:
    one, series, spec = made(kind)
    assert set(one.encode(pl.Series("x", [series[0], None], dtype=series.dtype), spec).faults) == {1}


@pytest.mark.parametrize("kind", ["number", "category"])
def test_decode_is_the_inverse(kind: str) -> None:
    one, series, spec = made(kind)
    known = series.drop_nulls()
    back = one.decode(one.encode(known, spec).values, spec)
    if kind == "number":
        np.testing.assert_allclose(back.to_numpy(), known.to_numpy(), rtol=1e-5)
    else:
        assert back.to_list() == known.to_list()


def test_tags_decode_is_the_inverse() -> None:
    one, series, spec = made("tags")
    hot = one.collate(one.encode(series, spec).values, spec, NONE)
    assert [set(names) for names in one.decode(hot.numpy() > 0.5, spec).to_list()] == [
        set(cell.split("|")) - {""} for cell in series.to_list()
    ]


def test_tags_as_lists_and_as_text_are_alike() -> None:
    one, series, spec = made("tags")
    lists = pl.Series("x", [[name for name in cell.split("|") if name] for cell in series.to_list()], dtype=pl.List(pl.String))
    same(one.encode(series, spec).values, one.encode(lists, spec).values)
    assert one.fit(lists, one.Config())["names"] == spec["names"]


def test_numbers_are_standardised_by_the_training_rows() -> None:
    one = catalog.load("kinds", "number")
    train = pl.Series("x", [2.0, 4.0, None, 9.0, float("inf")])
    spec = one.fit(train, one.Config())
    values = one.encode(pl.Series("x", ["5", " 8 ", "1,000", "NA", "inf"]), spec).values
    np.testing.assert_allclose(values[:3], (np.array([5, 8, 1000]) - 5) / np.std([2, 4, 9]), rtol=1e-6)
    assert np.isnan(values[3:]).all()
    plain = one.fit(train, one.Config(scale="none"))
    assert one.encode(pl.Series("x", [7.0]), plain).values.tolist() == [7.0]


def test_a_constant_number_stays_finite() -> None:
    one = catalog.load("kinds", "number")
    spec = one.fit(pl.Series("x", [3, 3, 3]), one.Config())
    assert one.encode(pl.Series("x", [3, 4]), spec).values.tolist() == [0.0, 1.0]


def test_the_rarest_categories_count_as_never_seen(caplog: pytest.LogCaptureFixture) -> None:
    one = catalog.load("kinds", "category")
    spec = one.fit(pl.Series("x", ["b", "a", "a", "c", "c"]), one.Config(max_categories=2))
    assert spec["names"] == ["a", "c"]
    assert "W210" in caplog.text
    assert one.collate(one.encode(pl.Series("x", ["a", "b", None, "c"]), spec).values, spec, NONE).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("series", [pl.Series([1, 2]), pl.Series([1.0, 2.0]), pl.Series(["1", " 2 "])])
def test_a_category_of_numbers_has_the_same_names_however_it_is_stored(series: pl.Series) -> None:
    one = catalog.load("kinds", "category")
    spec = one.fit(pl.Series("x", ["2", "10", "1"]), one.Config())
    assert spec["names"] == ["1", "2", "10"]
    assert one.encode(series, spec).values.tolist() == [0, 1]


def test_a_date_is_the_same_however_it_is_written() -> None:
    one = catalog.load("kinds", "date")
    days = [date(2024, 2, 29), date(2025, 12, 31)]
    spec = one.fit(pl.Series("x", days), one.Config())
    native = one.encode(pl.Series("x", days), spec)
    for layout in ("%Y-%m-%d", "%d.%m.%Y", "%Y年%m月%d日"):
        text = pl.Series("x", [day.strftime(layout) for day in days])
        np.testing.assert_array_equal(one.encode(text, one.fit(text, one.Config())).values, native.values)


def test_instants_of_a_native_column_can_come_back_as_text() -> None:
    """A bundle's golden rows and a JSON request bring text where training had instants."""
    one = catalog.load("kinds", "date")
    instants = pl.Series("x", [datetime(2024, 2, 29, 13, 5, 7), datetime(2025, 1, 1, 0, 0, 0, 500_000), None])
    spec = one.fit(instants, one.Config())
    text = pl.Series("x", [None if cell is None else cell.isoformat() for cell in instants.to_list()])
    encoded = one.encode(text, spec)
    assert not encoded.faults
    np.testing.assert_array_equal(encoded.values, one.encode(instants, spec).values)
    zoned = pl.Series("x", [datetime(2024, 2, 29, 13, 5, 7, tzinfo=UTC)])
    assert not one.encode(pl.Series("x", [zoned[0].isoformat()]), one.fit(zoned, one.Config())).faults


def test_the_first_day_and_the_last_are_minus_one_and_one() -> None:
    one = catalog.load("kinds", "date")
    spec = one.fit(pl.Series("x", ["2024-01-01", "2024-01-11"]), one.Config())
    values = one.encode(pl.Series("x", ["2024-01-01", "2024-01-06", "2024-01-11"]), spec).values
    np.testing.assert_allclose(values[:, 0], [-1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(values[1, 3:5], [np.sin(2 * np.pi * 6 / 7), np.cos(2 * np.pi * 6 / 7)], atol=1e-6)  # a Saturday


def test_text_folds_case_and_width() -> None:
    one, _, spec = made("text")
    same(one.encode(pl.Series(["ＧＯＯＤ 很好"]), spec).values, one.encode(pl.Series(["good 很好"]), spec).values)
    assert one.num_tokens(spec) > 256
    long = one.encode(pl.Series(["很" * 1000]), spec)
    assert long.values.lengths.tolist() == [spec["max_length"]]


def test_a_han_character_is_the_same_tokens_in_every_neighbourhood() -> None:
    one = catalog.load("kinds", "text")
    spec = one.fit(pl.Series("x", ["天气很好"] * 5), one.Config())
    alone = one.encode(pl.Series(["很"]), spec).values.flat().tolist()
    together = one.encode(pl.Series(["不很啊"]), spec).values.flat().tolist()
    assert "".join(map(chr, alone)) in "".join(map(chr, together))


def test_text_without_any_letter_is_a_named_error() -> None:
    one = catalog.load("kinds", "text")
    with pytest.raises(DataError, match="L210"):
        one.fit(pl.Series("x", [None, ""], dtype=pl.String), one.Config())


def test_series_are_standardised_per_number() -> None:
    one = catalog.load("kinds", "series")
    spec = one.fit(pl.Series("x", [[[1.0, 10.0], [3.0, 10.0]], [[5.0, 10.0]]]), one.Config(max_length=2))
    encoded = one.encode(pl.Series("x", ["[[3, 10], [5, 11], [9, 9]]"]), spec)
    spread = np.std([1, 3, 5])
    np.testing.assert_allclose(encoded.values.flat(), [[0, 0], [2 / spread, 1]], rtol=1e-6)
    assert set(one.encode(pl.Series("x", ["[1, 2, 3]"]), spec).faults) == {0}


# --- image


def png(size: tuple[int, int] = (13, 11), mode: str = "L", noise: int = 0) -> bytes:
    """A picture of width × height."""
    buffer = io.BytesIO()
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    Pillow.fromarray(np.random.default_rng(noise).integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_truncated_picture_among_the_training_rows_is_passed_over() -> None:
    one = catalog.load("kinds", "image")
    whole, broken = png(), png()[:-90]
    spec = one.fit(pl.Series("x", [whole, broken, whole]), one.Config())
    assert spec == one.fit(pl.Series("x", [whole, whole]), one.Config())
    assert set(one.encode(pl.Series("x", [whole, broken]), spec).faults) == {1}
    with pytest.raises(DataError, match="L212"):
        one.fit(pl.Series("x", [broken, broken]), one.Config())


def test_many_files_are_not_held_open(tmp_path: Path) -> None:
    one, resource = catalog.load("kinds", "image"), pytest.importorskip("resource")
    paths = [tmp_path / f"{i}.png" for i in range(97)]
    for i, path in enumerate(paths):
        path.write_bytes(png(noise=i))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, before[1]))
    try:
        by_path = one.fit(pl.Series("x", [str(path) for path in paths]), one.Config())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert by_path == one.fit(pl.Series("x", [path.read_bytes() for path in paths]), one.Config())


def test_pictures_are_scaled_by_the_training_rows() -> None:
    one = catalog.load("kinds", "image")
    cells = pl.Series("x", [png(noise=k) for k in range(7)])
    spec = one.fit(cells, one.Config())
    batch = one.collate(one.encode(cells, spec).values, spec, NONE)
    assert batch.mean().abs() < 1e-5
    assert (batch.std(correction=0) - 1).abs() < 1e-5
    unit = one.fit(cells, one.Config(scale="unit"))
    raw = np.stack([np.asarray(Pillow.open(io.BytesIO(cell))) for cell in cells.to_list()])
    np.testing.assert_allclose(one.collate(one.encode(cells, unit).values, unit, NONE)[:, 0].numpy(), raw / 255, rtol=1e-6)


def test_colour_and_size_follow_the_training_rows() -> None:
    one = catalog.load("kinds", "image")
    spec = one.fit(pl.Series("x", [png((300, 100), "RGB"), png((300, 100), "RGB"), png()]), one.Config())
    assert spec["channels"] == 3
    assert tuple(spec["size"]) == (21, 64)
    assert one.encode(pl.Series("x", [png()]), spec).values.shape == (1, 3, 21, 64)
    assert tuple(one.fit(pl.Series("x", [png()]), one.Config(size=5))["size"]) == (5, 5)
