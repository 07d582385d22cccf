"""Columns that grow on the disk: encoded blocks are appended to .npy files, then mapped as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from luban.columns import Columns, Ragged, Reject


class GrowingArray:
    """One .npy file that rows are appended to."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path.open("w+b")
        self.rows, self.dtype, self.shape = 0, np.dtype(np.uint8), ()

    def append(self, array: np.ndarray) -> None:
        """More rows of the same type and shape."""
        array = np.ascontiguousarray(array)
        if not self.file.tell():
            self.dtype, self.shape = array.dtype, array.shape[1:]
            self.write_header()
        self.file.write(array.data if array.size else b"")
        self.rows += len(array)

    def write_header(self) -> None:
        """Its length does not depend on the number of rows: numpy leaves room to grow."""
        shape = (self.rows, *self.shape)
        npy.write_array_header_1_0(self.file, {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape})

    def close(self) -> np.ndarray:
        """The whole array, mapped; an empty one is read."""
        self.file.seek(0)
        self.write_header()
        self.file.close()
        return np.load(self.path, mmap_mode="r" if self.rows else None, allow_pickle=False)


class GrowingColumns:
    """The columns of one split."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.arrays: dict[tuple[str, str], GrowingArray] = {}
        self.rejects: list[Reject] = []

    def append(self, columns: Columns) -> None:
        """More rows."""
        self.add("row", "", columns.row)
        if columns.size is not None:
            self.add("size", "", columns.size)
        for name, value in columns.data.items():
            if isinstance(value, Ragged):
                self.add("values", name, value.flat())
                self.add("lengths", name, value.lengths)
            else:
                self.add("dense", name, value)
        self.rejects += columns.rejects

    def add(self, part: str, column: str, array: np.ndarray) -> None:
        """More of one array."""
        if (part, column) not in self.arrays:
            self.arrays[part, column] = GrowingArray(self.folder / f"{self.name}.{len(self.arrays)}.npy")
        self.arrays[part, column].append(array)

    def close(self) -> Columns:
        """All rows, mapped."""
        found = {key: array.close() for key, array in self.arrays.items()}
        data: dict[str, np.ndarray | Ragged] = {}
        for (part, name), array in found.items():
            if part == "dense":
                data[name] = array
            elif part == "lengths":
                data[name] = Ragged(found["values", name], self.starts(array), array)
        return Columns(data, found["row", ""], found.get(("size", "")), tuple(self.rejects))

    def starts(self, lengths: np.ndarray) -> np.ndarray:
        """Where each span begins."""
        grown, begin = GrowingArray(self.folder / f"{self.name}.{len(self.arrays)}.npy"), 0
        self.arrays["starts", str(len(self.arrays))] = grown
        for start in range(0, len(lengths), 1 << 18) or [0]:
            part = np.asarray(lengths[start : start + (1 << 18)], np.int64)
            ends = begin + np.cumsum(part)
            grown.append(ends - part)
            begin = int(ends[-1]) if len(ends) else begin
        return grown.close()
