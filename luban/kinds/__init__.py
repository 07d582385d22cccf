"""What a column is: one file per kind, each with one class of the file's name and these static functions.

A kind file also states, readable without importing it: `ENCODER`, the model that reads the kind by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol

from annotated_types import MaxLen

from luban.columns import Array

if TYPE_CHECKING:
    import polars as pl

    from luban.draw import Draw

Names = Annotated[tuple[str, ...], MaxLen(1_000_000)]
Spec = dict[str, Any]  # JSON: what was fitted on the training rows; always holds "kind"


class Encoded(NamedTuple):
    """A column as arrays, one to one with its rows; a row at fault holds a filler and is named in `faults`."""

    values: Any  # an array with one leading axis, or Ragged
    faults: dict[int, str]  # place in the series -> reason
    size: Array | None = None  # (N,) what a row costs in a batch


class Kind(Protocol):
    """What every kind promises."""

    Config: ClassVar[type]
    Fitted: ClassVar[type]  # the spec's fields, with the range of each: a bundle's are held against it

    @staticmethod
    def fit(series: pl.Series, config: Any) -> Spec:
        """Learn the spec from training rows only."""
        ...

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """Column-wise and independent of how the rows are cut into chunks."""
        ...

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Any:
        """A batch of encoded values as a tensor; augmentation lives here, switched by `draw.training`."""
        ...

    @staticmethod
    def decode(values: Array, spec: Spec) -> pl.Series:
        """Encoded targets back to raw values; only kinds that can be a target have it."""
        ...

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Raw values as users have them, for tests and dry runs."""
        ...
