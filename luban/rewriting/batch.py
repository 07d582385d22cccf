"""What a step of a task of two texts sees, and what it answers.

B rows of a batch, W windows of their sources, S tokens of a window, T tokens of an answer, N answers of a row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from luban.columns import Columns, Ragged
from luban.rewriting.encoding import ASKED


@dataclass(frozen=True)
class Batch:
    """Sources in windows, and the answers where they are known."""

    source: Tensor  # (W, S) int64, 0 beyond the end
    known: Tensor  # (W, S) bool, which tokens are there
    windows: Tensor  # (B,) int64 windows of each row, which follow each other; 1 at least
    tag: Tensor  # (B,) int64 the token that asks for a language, below 0 = none
    lead: Tensor  # (W,) int64 tokens of each window before its text: a tag, what stands before every source
    said: Tensor | None  # (B, T) int64 what stood before each target: the mark that begins an answer, then its tokens; None = not known
    targets: Tensor | None  # (B, T) int64 what follows each, the end last; below 0 = nothing
    decode: Tensor | None  # (B,) uint8 bits: whether and how the row is to be answered; None = all are, as asked

    @property
    def answered(self) -> Tensor:
        """(B,) bool."""
        return torch.ones(len(self.windows), dtype=torch.bool) if self.decode is None else (self.decode & ASKED) > 0

    def has(self, bit: int) -> bool:
        """Whether any row is to be answered so."""
        return self.decode is not None and bool((self.decode & bit).any())

    @property
    def ratio(self) -> float:
        """Tokens of the targets for each of the sources."""
        said = 0 if self.targets is None else int((self.targets >= 0).sum())
        return said / max(1, int(self.known.sum()))

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: part.to(device) for name, part in parts.items() if part is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class Answers:
    """What was said, flat; rows, their answers, and the windows of each, one after the other."""

    tokens: Tensor  # (sum of lengths,) int64
    lengths: Tensor  # (sum of windows · N,) int64 tokens of each part
    logs: Tensor  # (sum of windows · N,) float64 logarithm of its chance, nan = no such answer
    counts: Tensor  # (sum of windows · N,) int64 tokens that chance is of, the end among them
    finish: Tensor  # (sum of windows · N,) int64 1 = it ended, 0 = it was cut
    windows: Tensor  # (B,) int64
    decoded: Tensor  # (B,) bool
    source: Tensor  # (sum of read,) int64 the sources' own tokens
    read: Tensor  # (B,) int64
    nats: Tensor | None = None  # (B,) float64 sums of -log chance of the targets
    known: Tensor | None = None  # (B,) targets


def of_ragged(spans: Ragged, fill: int = 0) -> Tensor:
    """(B, T) int64 filled on the right."""
    return torch.from_numpy(spans.pad(fill).astype("int64"))


def lengths_of(examples: Columns, name: str) -> Tensor:
    """(B,) int64."""
    return torch.from_numpy(examples[name].lengths.astype("int64"))
