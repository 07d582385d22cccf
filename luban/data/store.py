"""The prepared store: columns as memory-mapped arrays, keyed by what made them; small sets are read into memory.

A store is a folder: `store.json` and one .npy file an array. It is written beside its place and renamed, so it is whole or absent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from luban.columns import Columns, Ragged, Reject
from luban.files import whole_folder

IN_MEMORY_BYTES = 2_000_000_000
RAW = "raw.parquet"


def write(folder: Path, splits: dict[str, Columns], facts: dict[str, Any], raw: pl.DataFrame | None = None) -> None:
    """Columns by split, JSON facts beside them, and raw rows where there are any."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as beside:
        arrays: list[str] = []
        index = {name: describe(columns, beside, arrays) for name, columns in splits.items()}
        if raw is not None:
            raw.write_parquet(beside / RAW)
        text = json.dumps({"splits": index, "facts": facts}, ensure_ascii=False)
        (beside / "store.json").write_text(text, encoding="utf-8")


def describe(columns: Columns, folder: Path, arrays: list[str]) -> dict[str, Any]:
    """Write the arrays of one split; the index that finds them again."""

    def keep(array: np.ndarray) -> str:
        name = f"{len(arrays)}.npy"
        np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
        arrays.append(name)
        return name

    data = {}
    for name, value in columns.data.items():
        if isinstance(value, Ragged):
            value = Ragged.of(value.flat(), value.lengths) if len(value.values) > 2 * value.lengths.sum() else value
            data[name] = {"values": keep(value.values), "starts": keep(value.starts), "lengths": keep(value.lengths)}
        else:
            data[name] = {"dense": keep(np.asarray(value))}
    rejects = [[r.row, r.column, r.reason, r.received] for r in columns.rejects]
    return {"data": data, "row": keep(columns.row), "size": None if columns.size is None else keep(columns.size), "rejects": rejects}


def read(folder: Path) -> tuple[dict[str, Columns], dict[str, Any]]:
    """What was written; arrays are mapped, or read where they fit in memory."""
    index = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    total = sum(path.stat().st_size for path in folder.glob("*.npy"))
    mode = None if total <= IN_MEMORY_BYTES else "r"

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
        size = None if part["size"] is None else np.asarray(array(part["size"]))
        splits[name] = Columns(data, np.asarray(array(part["row"])), size, tuple(Reject(*r) for r in part["rejects"]))
    return splits, index["facts"]


def is_whole(folder: Path) -> bool:
    """Whether a store stands there."""
    return (folder / "store.json").is_file()
