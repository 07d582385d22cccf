"""The prepared store: columns as memory-mapped arrays, keyed by what made them; small sets are read into memory.

A store is a folder: `store.json`, one .npy file an array, and the digest of each. It is written beside its place and renamed, so it is whole or
absent; where a bit of it changed, it is prepared again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Columns, Ragged, Reject
from luban.errors import warn
from luban.files import digest, whole_folder
from luban.mapped import folder_of, release
from luban.messages import tr

IN_MEMORY_BYTES = 2_000_000_000
RAW, INDEX, MANIFEST = "raw.parquet", "store.json", "MANIFEST.json"


def write(folder: Path, splits: dict[str, Columns], facts: dict[str, Any], raw: pl.DataFrame | None = None) -> None:
    """Columns by split, JSON facts beside them, and raw rows where there are any."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as beside:
        if raw is not None:
            raw.write_parquet(beside / RAW)
        fill(beside, splits, facts)


def fill(folder: Path, splits: dict[str, Columns], facts: dict[str, Any]) -> None:
    """Make a folder a store; arrays mapped from files in it stay there."""
    arrays: list[str] = []
    index = {name: describe(columns, folder, arrays) for name, columns in splits.items()}
    (folder / INDEX).write_text(json.dumps({"splits": index, "facts": facts}, ensure_ascii=False), encoding="utf-8")
    digests = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    (folder / MANIFEST).write_text(json.dumps(digests), encoding="utf-8")


def describe(columns: Columns, folder: Path, arrays: list[str]) -> dict[str, Any]:
    """Write the arrays of one split; the index that finds them again."""

    def keep(array: np.ndarray) -> str:
        if is_file_of(array, folder):
            return Path(str(array.filename)).name  # type: ignore[attr-defined]
        name = f"{len(arrays)}.npy"
        np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
        release(array)
        arrays.append(name)
        return name

    data = {}
    for name, value in columns.data.items():
        if isinstance(value, Ragged):
            wasteful = not isinstance(value.values, np.memmap) and len(value.values) > 2 * value.lengths.sum()
            value = Ragged.of(value.flat(), value.lengths) if wasteful else value
            data[name] = {"values": keep(value.values), "starts": keep(value.starts), "lengths": keep(value.lengths)}
        else:
            data[name] = {"dense": keep(np.asanyarray(value))}
    rejects = [[r.row, r.column, r.reason, r.received] for r in columns.rejects]
    return {"data": data, "row": keep(columns.row), "size": None if columns.size is None else keep(columns.size), "rejects": rejects}


def is_file_of(array: np.ndarray, folder: Path) -> bool:
    """Whether the array is a whole .npy file of the folder."""
    if folder_of(array) != folder.absolute():
        return False
    return array.offset + array.nbytes == Path(str(array.filename)).stat().st_size  # type: ignore[attr-defined]


def read(folder: Path, most: int | None = None) -> tuple[dict[str, Columns], dict[str, Any]]:
    """What was written; arrays are mapped, or read where they fit in memory, `most` bytes if that is less."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    total = sum(path.stat().st_size for path in folder.glob("*.npy"))
    mode = None if total <= (IN_MEMORY_BYTES if most is None else min(most, IN_MEMORY_BYTES)) else "r"

    def array(name: str) -> np.ndarray:
        return np.load(folder / name, mmap_mode=mode, allow_pickle=False)

    splits = {}
    for name, part in index["splits"].items():
        data = {
            column: array(place["dense"])
            if "dense" in place
            else Ragged(array(place["values"]), array(place["starts"]), array(place["lengths"]))
            for column, place in part["data"].items()
        }
        size = None if part["size"] is None else array(part["size"])
        splits[name] = Columns(data, array(part["row"]), size, tuple(Reject(*r) for r in part["rejects"]))
    return splits, index["facts"]


def is_whole(folder: Path) -> bool:
    """Whether a store stands there, to the last bit as it was written; a damaged one is said."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        known = json.loads((folder / MANIFEST).read_bytes())
        whole = {path.name for path in folder.iterdir()} == {*known, MANIFEST}
        whole = whole and all(digest(folder / name) == value for name, value in known.items())
    except (OSError, ValueError, TypeError):
        whole = False
    if not whole:
        warn("W216", tr("the prepared data was damaged; it is prepared again"), where=str(folder))
    return whole
