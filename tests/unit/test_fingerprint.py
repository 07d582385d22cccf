"""The sketch of the training rows: it knows them however they are written, and estimates the share from a few digests."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest

from luban.bundle.fingerprint import KEPT, digests, fingerprint, share_of, warn_of_training_rows
from luban.columns import Columns, Ragged
from luban.kinds.text import Text
from luban.recipe import parse


def columns(numbers: np.ndarray, texts: list[str]) -> Columns:
    codes = Ragged.of(np.array([ord(c) for text in texts for c in text], np.int32), [len(text) for text in texts])
    return Columns({"x": numbers.astype(np.float32), "t": codes}, np.arange(len(numbers)))


def some(count: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    return columns(rng.normal(0, 1, (count, 3)), ["".join(rng.choice(list("ab"), rng.integers(0, 9))) for _ in range(count)])


def of(rows: Columns) -> np.ndarray:
    return np.concatenate(list(digests(rows)))


def test_the_sketch_is_the_smallest_digests_of_all_rows() -> None:
    rows = some(3 * KEPT, 0)
    assert fingerprint(rows, [])["digests"] == [f"{digest:016x}" for digest in np.unique(of(rows))[:KEPT].tolist()]
    assert not fingerprint(rows, [])["whole"]
    assert fingerprint(rows.take(np.arange(KEPT)), [])["whole"]


def test_a_digest_is_of_the_row_alone() -> None:
    rows = some(5000, 0)
    order = np.random.default_rng(1).permutation(5000)
    np.testing.assert_array_equal(of(rows.take(order)), of(rows)[order])
    assert len(np.unique(of(rows))) == 5000


def test_every_value_and_its_place_count() -> None:
    known = of(columns(np.array([[1.0, 2.0]]), ["ab"]))[0]
    for numbers, text in ([[2.0, 1.0]], "ab"), ([[1.0, 2.0]], "ba"), ([[1.0, 2.0]], "a"), ([[1.0, np.nan]], "ab"):
        assert of(columns(np.array(numbers), [text]))[0] != known
    missing = [of(columns(np.array([[value, 2.0]]), ["ab"]))[0] for value in (np.nan, -np.nan)]
    assert missing[0] == missing[1]


@pytest.mark.parametrize("count", [KEPT // 4, 8 * KEPT])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_is_found(count: int, share: float) -> None:
    train, new = some(count, 0), some(count, 1)
    known = fingerprint(train, [new])
    seen = int(share * count)
    mixed = Columns.join([train.take(np.arange(seen)), new.take(np.arange(count - seen))])
    assert share_of(mixed, known) == pytest.approx(share, abs=0.05)
    assert len(known["digests"]) <= KEPT


def test_rows_that_are_alike_by_chance_are_no_reason_to_warn(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("luban"), "propagate", True)
    rng = np.random.default_rng(0)
    few = [columns(rng.integers(0, 2, (300, 2)).astype(float), [""] * 300) for _ in range(3)]
    warn_of_training_rows(few[2], fingerprint(few[0], [few[1]]))
    assert not caplog.records
    unlike = [some(300, seed) for seed in range(2)]
    warn_of_training_rows(unlike[0], fingerprint(unlike[0], [unlike[1]]))
    assert [record.luban["code"] for record in caplog.records] == ["W234"]
    assert "100%" in caplog.text


def test_how_a_file_writes_a_row_does_not_count() -> None:
    table = pl.DataFrame({"t": Text.demo(40, 0), "x": range(40), "y": ["a", "b"] * 20})
    task = parse({"task": "classification", "data": "none", "target": "y", "inputs": {"t": "text", "x": "number"}}).make_task()
    task = type(task)(task.config, task.fit(table))
    written = table.with_columns(pl.col("x").cast(pl.Float64).cast(pl.String), more=pl.lit(1))
    np.testing.assert_array_equal(of(task.encode(table)), of(task.encode(written)))
