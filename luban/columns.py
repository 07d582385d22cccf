"""A table encoded to arrays: dense, or ragged as spans over one flat array.

N rows, B examples of a batch, T longest span of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from luban.mapped import gather, is_all, release

Array = np.ndarray


@dataclass(frozen=True)
class Ragged:
    """Spans over one flat array. They may overlap: a document, a window, a history and a packed row are all spans."""

    values: Array  # (total, ...)
    starts: Array  # (N,) int64
    lengths: Array  # (N,) int64

    @staticmethod
    def of(values: Array, lengths: Sequence[int] | Array) -> Ragged:
        """Spans that follow each other without a gap."""
        lengths = np.asarray(lengths, np.int64)
        starts = np.zeros(len(lengths), np.int64)
        np.cumsum(lengths[:-1], out=starts[1:])
        return Ragged(np.asarray(values), starts, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Array:
        return self.values[self.starts[index] : self.starts[index] + self.lengths[index]]

    def take(self, rows: Array) -> Ragged:
        """The spans of some rows; values are shared."""
        return Ragged(self.values, gather(self.starts, rows), gather(self.lengths, rows))

    def piece(self, first: int, last: int) -> Ragged:
        """The spans from one to before another, at least one, with the values they need, in memory where they lay on the disk."""
        starts, lengths = np.array(self.starts[first:last]), np.array(self.lengths[first:last])
        begin, end = int(starts.min()), int((starts + lengths).max())
        if end - begin > 2 * int(lengths.sum()):  # they lie far apart
            return Ragged.of(Ragged(self.values, starts, lengths).flat(), lengths)
        values = np.array(self.values[begin:end])
        for array in (self.values, self.starts, self.lengths):
            release(array)
        return Ragged(values, starts - begin, lengths)

    @property
    def row_bytes(self) -> float:
        """Of one span on average, as it is held."""
        return (self.values.nbytes + 16 * len(self)) / max(1, len(self))

    def places(self) -> tuple[Array, Array]:
        """For each element: the span it belongs to, and its place inside it. Both (sum of lengths,)."""
        owner = np.repeat(np.arange(len(self)), self.lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        return owner, within

    def flat(self) -> Array:
        """(sum of lengths, ...): the spans one after the other."""
        owner, within = self.places()
        return gather(self.values, self.starts[owner] + within)

    def pad(self, fill: float = 0, *, width: int | None = None) -> Array:
        """(B, T, ...) filled on the right to the longest span, or cut and filled to `width`."""
        width = max(1, int(self.lengths.max(initial=0))) if width is None else width
        kept = Ragged(self.values, self.starts, np.minimum(self.lengths, width))
        owner, within = kept.places()
        out = np.full((len(self), width, *self.values.shape[1:]), fill, self.values.dtype)
        out[owner, within] = gather(self.values, kept.starts[owner] + within)
        return out


@dataclass(frozen=True)
class Reject:
    """A row that could not be encoded: its place in the table, the column, and why."""

    row: int
    column: str
    reason: str
    received: str = ""


@dataclass(frozen=True)
class Columns:
    """Arrays with one leading axis: rows after `encode`, examples after `arrange`."""

    data: dict[str, Array | Ragged]
    row: Array  # (N,) int64, the table row each stands for
    size: Array | None = None  # (N,) what one costs in a batch (tokens, steps); None = 1 each
    rejects: tuple[Reject, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def take(self, rows: Array) -> Columns:
        """Some of the rows, in the order asked; rejects stay behind. All rows of mapped arrays are the arrays themselves."""
        if isinstance(self.row, np.memmap) and is_all(rows, len(self)):
            return replace(self, rejects=())
        data = {name: value.take(rows) if isinstance(value, Ragged) else gather(value, rows) for name, value in self.data.items()}
        return Columns(data, gather(self.row, rows), None if self.size is None else gather(self.size, rows))

    def piece(self, first: int, last: int) -> Columns:
        """The examples from one to before another, at least one, in memory; rejects stay behind."""
        part = slice(first, last)
        data = {name: value.piece(first, last) if isinstance(value, Ragged) else gather(value, part) for name, value in self.data.items()}
        return Columns(data, gather(self.row, part), None if self.size is None else gather(self.size, part))

    @property
    def row_bytes(self) -> float:
        """Of one example on average, as it is held."""
        return 16 + sum(value.row_bytes if isinstance(value, Ragged) else value.nbytes / max(1, len(self)) for value in self.data.values())

    def release(self) -> None:
        """Let go of the memory of mapped arrays that were looked at; their files hold the values still."""
        for value in (self.row, *self.data.values()):
            for array in (value.values, value.starts, value.lengths) if isinstance(value, Ragged) else (value,):
                release(array)

    def shift(self, by: int) -> Columns:
        """The same columns as rows of a table that begins `by` rows earlier."""
        return replace(self, row=self.row + by, rejects=tuple(replace(r, row=r.row + by) for r in self.rejects))

    @staticmethod
    def join(parts: Sequence[Columns]) -> Columns:
        """Parts one after the other."""
        first = parts[0]
        data = {name: join_arrays([part.data[name] for part in parts]) for name in first.data}
        size = None if first.size is None else np.concatenate([np.asarray(part.size) for part in parts])
        rejects = tuple(reject for part in parts for reject in part.rejects)
        return Columns(data, np.concatenate([part.row for part in parts]), size, rejects)


def join_arrays(parts: Sequence[Array | Ragged]) -> Array | Ragged:
    """Dense or ragged arrays one after the other."""
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate([np.asarray(part) for part in parts])
    return Ragged.of(np.concatenate([part.flat() for part in ragged]), np.concatenate([part.lengths for part in ragged]))
