"""What a check looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from luban.data.media import medium_of_column
from luban.data.source import file_hash
from luban.errors import DataError, warn

MOST_FILES_HASHED = 200_000
TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do about it."""

    code: str  # L2xx, W2xx, or "" when all is well
    level: Literal["ok", "warning", "error"]
    name: str  # of the check
    detail: str
    fix: str = ""
    where: str = ""  # the column

    def emit(self) -> None:
        """An error is raised, a warning logged. Raises DataError."""
        if self.level == "error":
            raise DataError(self.code, self.detail, where=self.where, fix=self.fix)
        if self.level == "warning":
            warn(self.code, self.detail, where=self.where, fix=self.fix)


@dataclass(frozen=True)
class Subject:
    """What is checked."""

    table: pl.DataFrame
    inputs: dict[str, str]  # column -> kind
    target: str | None
    splits: np.ndarray  # (N,) 0 train, 1 validation, 2 test
    task: str
    by: str = "random"  # how the rows were divided, as split.by has it; "given" = by the data itself
    own: dict[str, str] = field(default_factory=dict)  # what the task reads beside its inputs: user, item … -> the column
    hashes: dict[str, pl.Series] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)  # what a search leaves for the report

    @property
    def labels(self) -> pl.Series | None:
        """The target as classes, or None where it has none."""
        if self.target is None or self.task != "classification" or self.target not in self.table.columns:
            return None
        labels = self.table[self.target]
        return None if isinstance(labels.dtype, (pl.List, pl.Array)) else labels.cast(pl.String)

    def keys(self) -> pl.Series:
        """(N,) UInt64, equal where all inputs are equal."""
        if "" not in self.hashes:
            self.hashes[""] = pl.DataFrame([self.key_of(name) for name in self.inputs]).hash_rows(seed=0)
        return self.hashes[""]

    def key_of(self, name: str) -> pl.Series:
        """(N,) UInt64 of one input; files are compared by content."""
        if name not in self.hashes:
            series = self.table[name]
            if self.inputs.get(name) in ("image", "audio") and series.dtype == pl.String and medium_of_column(series):
                series = by_content(series)
            self.hashes[name] = series.to_frame().hash_rows(seed=0).alias(name)
        return self.hashes[name]


def columns(subject: Subject) -> list[str]:
    """Inputs and target."""
    target = [subject.target] if subject.target and subject.target in subject.table.columns and subject.target not in subject.inputs else []
    return [*subject.inputs, *target]


def ok(name: str, detail: str) -> Finding:
    """All is well."""
    return Finding("", "ok", name, detail)


def shown(names: pl.Series) -> str:
    """A few names."""
    return ", ".join(repr(name)[:30] for name in names.head(5).to_list()) + (", …" if len(names) > 5 else "")


def by_content(paths: pl.Series) -> pl.Series:
    """Paths, replaced by the hash of the content where another file has the same size; the others can't be equal."""
    cells = paths.to_list()
    sizes: dict[int, set[str]] = {}
    for cell in set(cells) - {None}:
        path = Path(cell)
        if path.is_file():
            sizes.setdefault(path.stat().st_size, set()).add(cell)
    alike = [cell for same in sizes.values() if len(same) > 1 for cell in same]
    if len(alike) > MOST_FILES_HASHED:
        return paths
    content = {cell: file_hash(Path(cell)) for cell in alike}
    return pl.Series(paths.name, [content.get(cell, cell) if cell is not None else None for cell in cells], dtype=pl.String)
