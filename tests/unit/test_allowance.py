"""Amounts of memory, the container's limit, and mapped arrays that let go of what was looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luban import mapped, memory, predicting
from luban.columns import Columns, Ragged
from luban.errors import DataError, RecipeError
from luban.predicting import marks_of
from luban.recipe import parse
from luban.tasks.classification import Classification


@pytest.mark.parametrize(("text", "wanted"), [("800 MB", 800_000_000), ("1.5 GiB", 1_610_612_736), (" 2gb ", 2_000_000_000)])
def test_amounts_are_read(text: str, wanted: int) -> None:
    assert memory.bytes_of(text) == wanted


@pytest.mark.parametrize("text", ["", "1", "-1 GB", "0 GB", "1 PB", "much"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="L105"):
        memory.bytes_of(text)


def test_an_allowance_that_the_libraries_fill_is_refused() -> None:
    assert memory.room("1 GB") == 200_000_000
    with pytest.raises(DataError, match=r"L261.*memory = .1000 MB"):
        memory.room("500 MB")


def test_the_container_counts_where_it_has_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    free = memory.available()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() == free
    (tmp_path / "memory.max").write_text("512000000\n")
    assert memory.available() == 512_000_000
    assert memory.allowance(None) == 256_000_000
    (tmp_path / "memory.current").write_text("500000000\n")
    assert memory.free() == 12_000_000
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 300000000\nactive_file 7\n")  # files read once can be dropped
    assert memory.free() == 312_000_000


@pytest.mark.parametrize(
    ("lines", "file"),
    [("0::/a/b\n", "a/memory.max"), ("5:cpu:/x\n4:memory:/a/b\n", "memory/a/memory.limit_in_bytes"), ("", "memory/memory.limit_in_bytes")],
)
def test_the_groups_above_count_too(lines: str, file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(lines)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("512000000\n")
    assert memory.available() == 512_000_000


def on_disk(array: np.ndarray, path: Path) -> np.ndarray:
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def resident_bytes(path: Path) -> int:
    """Of the maps of a file, the bytes this process holds."""
    found, here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        here = str(path) in line if "-" in line.split(" ")[0] else here
        found += int(line.split()[1]) * 1024 if here and line.startswith("Rss:") else 0
    return found


def test_rows_taken_from_a_map_leave_none_of_it_in_memory(tmp_path: Path) -> None:
    values = on_disk(np.arange(2_000_003, dtype=np.int64), tmp_path / "v.npy")
    assert int(values.sum()) == 2_000_003 * 1_000_001
    assert resident_bytes(tmp_path / "v.npy") > 10_000_000
    assert mapped.gather(values, np.array([5, 1_999_999, 7])).tolist() == [5, 1_999_999, 7]
    assert resident_bytes(tmp_path / "v.npy") == 0
    ragged = Ragged(values, np.array([3, 1_000_000]), np.array([2, 1]))
    assert ragged.pad(-1).tolist() == [[3, 4], [1_000_000, -1]]
    assert resident_bytes(tmp_path / "v.npy") == 0


def test_scattered_rows_are_read_with_little_of_the_map_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = on_disk(np.random.default_rng(0).integers(0, 1 << 40, (3_000_000, 2)), tmp_path / "v.npy")
    rows, held, release = np.random.default_rng(1).permutation(3_000_000)[:40_000], [], mapped.release
    wanted = np.array(values[rows])
    release(values)

    def released(array: np.ndarray) -> None:
        held.append(resident_bytes(tmp_path / "v.npy"))
        release(array)

    monkeypatch.setattr(mapped, "release", released)
    np.testing.assert_array_equal(mapped.gather(values, rows), wanted)
    assert 0 < max(held) <= 2 * mapped.TOUCHED * mapped.AROUND < values.nbytes
    chosen = np.zeros(3_000_000, bool)
    chosen[rows] = True
    np.testing.assert_array_equal(mapped.gather(values, chosen), np.asarray(values)[chosen])
    np.testing.assert_array_equal(mapped.gather(values, np.repeat(rows, 2)), np.repeat(wanted, 2, axis=0))
    assert mapped.gather(values, rows[:0]).shape == (0, 2)


@pytest.mark.parametrize("apart", [1, 100])
def test_pieces_of_mapped_examples_are_the_examples(apart: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 9, 1000)
    values = on_disk(rng.integers(0, 1 << 30, int(lengths.sum()) * apart), tmp_path / "v.npy")
    spans = Ragged(values, on_disk(np.r_[0, lengths.cumsum()[:-1]] * apart, tmp_path / "s.npy"), on_disk(lengths, tmp_path / "l.npy"))
    dense = on_disk(rng.normal(size=(1000, 3)), tmp_path / "d.npy")
    columns = Columns(
        {"spans": spans, "dense": dense}, on_disk(np.arange(1000) + 7, tmp_path / "r.npy"), on_disk(lengths, tmp_path / "z.npy")
    )
    monkeypatch.setattr(predicting, "PIECE", 1)
    monkeypatch.setattr(predicting, "BATCH", 130)
    found = list(predicting.pieces(columns))
    assert [first for first, _ in found] == list(range(0, 1000, 130))
    assert [row for _, part in found for row in part.row.tolist()] == list(range(7, 1007))
    for first, part in found:
        assert not any(isinstance(array, np.memmap) for array in (part.row, part.size, part["dense"], part["spans"].values))
        assert [part["spans"][i].tolist() for i in range(len(part))] == [spans[first + i].tolist() for i in range(len(part))]
        np.testing.assert_array_equal(part["dense"], dense[first : first + 130])
    whole = Columns({}, np.arange(5))
    assert [part for _, part in predicting.pieces(whole)] == [whole]


def test_all_rows_of_a_map_are_the_map_itself_and_many_stay_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = on_disk(np.arange(1009 * 7).reshape(1009, 7), tmp_path / "d.npy")
    columns = Columns({"dense": dense}, on_disk(np.arange(1009), tmp_path / "r.npy"))
    assert columns.take(np.arange(1009))["dense"] is dense
    monkeypatch.setattr(mapped, "MOST", 100)
    some = columns.take(np.arange(1, 1009, 2))
    assert isinstance(some["dense"], np.memmap)
    np.testing.assert_array_equal(some["dense"], np.asarray(dense)[1::2])
    assert some.row.tolist() == list(range(1, 1009, 2))
    assert {path.name for path in tmp_path.iterdir()} == {"d.npy", "r.npy"}


def test_rows_are_all_only_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "CHUNK", 7)
    for count in (0, 1, 7, 8, 29):
        assert mapped.is_all(np.arange(count), count)
        assert not mapped.is_all(np.arange(count), count + 1)
    for swapped in range(28):
        rows = np.arange(29)
        rows[[swapped, swapped + 1]] = rows[[swapped + 1, swapped]]
        assert not mapped.is_all(rows, 29)


def test_marks_of_mapped_examples_are_the_same_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Classification.demo(None, 233, 0)  # type: ignore[arg-type]
    task = parse({"task": "classification", "data": "none", "target": "label", "model": {"kind": "mlp", "size": "tiny"}}).make_task()
    inputs = {"text": {"kind": "text"}} if "text" in table.columns else {n: {"kind": "number"} for n in table.columns if n != "label"}
    task = type(task)(replace(task.config, inputs=inputs))
    task = type(task)(task.config, task.fit(table))
    examples, net = task.encode(table), task.build()
    monkeypatch.setattr(predicting, "PIECE", 1)
    monkeypatch.setattr(predicting, "BATCH", 50)
    on_files = replace(examples, row=on_disk(examples.row, tmp_path / "row.npy"))
    plain, kept = marks_of(task, net, examples, batch_size=17), marks_of(task, net, on_files, batch_size=17)
    assert plain.row.tolist() == kept.row.tolist()
    assert plain.data.keys() == kept.data.keys()
    for name, values in plain.data.items():
        assert isinstance(kept[name], np.memmap)
        assert kept[name].dtype == values.dtype
        np.testing.assert_array_equal(kept[name], values)
    assert [path.name for path in tmp_path.iterdir()] == ["row.npy"]


def test_columns_let_go_of_what_they_hold_of_their_files(tmp_path: Path) -> None:
    dense, values = (on_disk(np.arange(200_003), tmp_path / f"{name}.npy") for name in "dv")
    columns = Columns({"d": dense, "t": Ragged(values, np.arange(3), np.ones(3, np.int64))}, np.arange(200_003))
    assert int(dense.sum()) == int(values.sum())
    assert min(resident_bytes(tmp_path / f"{name}.npy") for name in "dv") > 1_000_000
    columns.release()
    assert max(resident_bytes(tmp_path / f"{name}.npy") for name in "dv") == 0
