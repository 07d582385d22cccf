"""What was read: records as one table, where each came from, what was left out, and the splits the data itself brings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from luban.files import digest

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


@dataclass(frozen=True)
class BadRow:
    """A record left out: where it stands, in which column, why."""

    file: str
    line: int  # 1-based line of a text file, row of a sheet or a table; 0 = the file as a whole
    column: str  # "" = the whole record
    reason: str
    received: str = ""
    record: bool = True  # False: a file that is no record at all; listed, but not counted against the limit


@dataclass(frozen=True)
class Origin:
    """File and line of each row, held as spans: a file of a million rows costs its line numbers, a regular one nothing."""

    spans: tuple[Span, ...]

    def __len__(self) -> int:
        return sum(span.count for span in self.spans)

    def of(self, row: int) -> tuple[str, int]:
        """The file and the 1-based line (row, for tables without lines) of a table row. Raises IndexError outside."""
        if row >= 0:
            for span in self.spans:
                if row < span.count:
                    return span.at(row)
                row -= span.count
        raise IndexError(row)

    def keep(self, mask: np.ndarray) -> Origin:
        """The origin of the rows marked True."""
        bounds = np.cumsum([0, *(span.count for span in self.spans)])
        return Origin(tuple(span.keep(mask[a:b]) for span, a, b in zip(self.spans, bounds, bounds[1:], strict=False)))

    def shifted(self, by: int) -> Origin:
        """The origin of the same rows further down."""
        return Origin(tuple(span.shifted(by) for span in self.spans))

    @staticmethod
    def lines(file: str | Path, lines: np.ndarray | range) -> Origin:
        """Rows of one file at these lines."""
        if not isinstance(lines, range) and len(lines) and int(lines[-1]) - int(lines[0]) == len(lines) - 1:
            lines = range(int(lines[0]), int(lines[-1]) + 1)
        kept = None if isinstance(lines, range) else np.asarray(lines, np.int64 if len(lines) and lines[-1] > 2**31 - 1 else np.int32)
        return Origin((Span(str(file), len(lines), lines.start if isinstance(lines, range) else 0, kept),))

    @staticmethod
    def files(paths: pl.Series) -> Origin:
        """One file per row."""
        return Origin((Span("", len(paths), 0, None, paths),))

    @staticmethod
    def join(parts: Sequence[Origin]) -> Origin:
        """Parts one after the other."""
        return Origin(tuple(span for part in parts for span in part.spans))


@dataclass(frozen=True)
class Span:
    """Rows that follow each other: lines `first`, `first + 1` … of a file, or the lines listed, or a file each."""

    file: str
    count: int
    first: int
    lines: np.ndarray | None = None
    paths: pl.Series | None = None

    def at(self, row: int) -> tuple[str, int]:
        """File and line of a row of the span."""
        if self.paths is not None:
            return str(self.paths[row]), 1
        return self.file, self.first + row if self.lines is None else int(self.lines[row])

    def shifted(self, by: int) -> Span:
        """The same rows, `by` lines further down."""
        return replace(self, first=self.first + by, lines=None if self.lines is None else self.lines + by)

    def keep(self, mask: np.ndarray) -> Span:
        """The rows marked True."""
        if mask.all():
            return self
        if self.paths is not None:
            paths = self.paths.filter(pl.Series(mask))
            return replace(self, count=len(paths), paths=paths)
        lines = np.arange(self.first, self.first + self.count, dtype=np.int32) if self.lines is None else self.lines
        return replace(self, count=int(mask.sum()), lines=lines[mask])


@dataclass(frozen=True)
class Part:
    """What one reader found: rejected rows are never in the table."""

    table: pl.DataFrame
    origin: Origin
    rejects: list[BadRow] = field(default_factory=list)
    splits: np.ndarray | None = None  # (N,) int8, where the layout itself divides: 0 train, 1 validation, 2 test
    written: bool = False  # True: all columns are text whose types are still to be found
    files: tuple[Path, ...] = ()  # what was opened, for the content hash; () = the file that was asked for
    notes: tuple[str, ...] = ()  # what was found, in the reader's language


@dataclass(frozen=True)
class Source:
    """All parts as one table."""

    table: pl.DataFrame
    origin: Origin
    rejects: list[BadRow]
    splits: np.ndarray | None  # (N,) int8: 0 train, 1 validation, 2 test; None = the data does not say
    found: str
    base: Path
    files: tuple[tuple[str, Path], ...]  # split name or "", file

    def content_hash(self) -> str:
        """SHA-256 over the contents, the relative names and the splits of all files read; the folder's own place does not count."""
        total = hashlib.sha256()
        for split, path in self.files:
            name = Path(os.path.relpath(path, self.base)).as_posix() if path.is_relative_to(self.base) else path.name
            total.update(f"{split}\0{name}\0{file_hash(path)}\n".encode())
        return total.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content; computed once while size and time of change stay."""
    status = path.stat()
    return hash_of(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=200_000)
def hash_of(path: str, _size: int, _mtime_ns: int) -> str:
    """SHA-256 of a file of this size and time of change."""
    return digest(Path(path))
