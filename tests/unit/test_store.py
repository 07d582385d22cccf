"""The prepared store gives back what it was given, read or mapped, and is whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from luban.columns import Columns, Ragged, Reject
from luban.data import store


def columns() -> Columns:
    values = np.arange(22, dtype=np.float32).reshape(11, 2)
    windows = Ragged(values, np.array([0, 3, 1]), np.array([5, 0, 7]))
    few = Ragged(np.arange(1000, dtype=np.int32), np.array([990, 3, 500]), np.array([2, 1, 3]))
    data = {"dense": np.arange(6, dtype=np.uint8).reshape(3, 2), "windows": windows, "few": few, "列/x": np.array([1.5, np.nan, 2])}
    return Columns(data, np.array([4, 0, 9]), np.array([5, 1, 7]), (Reject(2, "dense", "why", "got"),))


@pytest.mark.parametrize("limit", [2_000_000_000, 0])
def test_what_was_written_is_read(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "IN_MEMORY_BYTES", limit)
    given, empty = columns(), columns().take(np.zeros(0, np.int64))
    store.write(tmp_path / "s", {"train": given, "test": empty}, {"note": "好", "n": 3})
    splits, facts = store.read(tmp_path / "s")
    assert facts == {"note": "好", "n": 3}
    assert len(splits["test"]) == 0
    back = splits["train"]
    assert isinstance(back["dense"], np.memmap) == (limit == 0)
    for name in ("dense", "列/x"):
        np.testing.assert_array_equal(back[name], given[name])
        assert back[name].dtype == given[name].dtype  # type: ignore[union-attr]
    for name in ("windows", "few"):
        for place in range(3):
            np.testing.assert_array_equal(back[name][place], given[name][place])
    assert back.row.tolist() == [4, 0, 9]
    assert back.size is not None
    assert back.size.tolist() == [5, 1, 7]
    assert back.rejects == given.rejects


def test_spans_over_much_more_than_they_use_are_written_compact(tmp_path: Path) -> None:
    store.write(tmp_path / "s", {"train": columns()}, {})
    splits, _ = store.read(tmp_path / "s")
    assert len(splits["train"]["few"].values) == 6  # type: ignore[union-attr]
    assert len(splits["train"]["windows"].values) == 11  # type: ignore[union-attr]


def test_a_store_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not store.is_whole(tmp_path / "s")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            store.write(tmp_path / "s", {"train": columns()}, {})
    assert not store.is_whole(tmp_path / "s")
    store.write(tmp_path / "s", {"train": columns()}, {"n": 1})
    store.write(tmp_path / "s", {"train": columns()}, {"n": 2})
    assert store.is_whole(tmp_path / "s")
    assert store.read(tmp_path / "s")[1] == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.write(tmp_path / "s", {"train": columns()}, {"n": 1}, pl.DataFrame({"x": [1, 2]}))
    for path in sorted((tmp_path / "s").iterdir()):
        content = path.read_bytes()
        for bit in range(0, 8 * len(content), 97):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert not store.is_whole(tmp_path / "s"), (path.name, bit)
        path.write_bytes(content)
    assert store.is_whole(tmp_path / "s")
    (tmp_path / "s" / "0.npy").unlink()
    assert not store.is_whole(tmp_path / "s")
    assert "W216" in caplog.text
