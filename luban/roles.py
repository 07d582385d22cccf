"""What an architecture promises to the tasks that use it. A model file states `ROLE`, and `TAKES`, the kinds it reads.

A role fixes the constructor, forward's signature, the shapes, and the fields of a batch that a solved model may read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Inputs = dict[str, Any]  # column -> what its kind's collate gives


class Encoder(Protocol):
    """ROLE = "encoder": reads columns of the kinds it TAKES into one vector a row.

    A file that states MANY is built once for all columns of the kinds it names there; else once for each.
    """

    Config: ClassVar[type]
    out_dim: int

    def __init__(self, config: Any, specs: dict[str, dict[str, Any]]) -> None: ...

    def __call__(self, inputs: Inputs) -> Tensor:
        """(B, out_dim); a row never depends on its neighbours nor on padding."""
        ...


class SupervisedBatch(Protocol):
    """The fields a solved predictor may read."""

    inputs: Inputs
    target: Tensor  # (B,) int64, below 0 = none; (B, K) float for tags; (B,) float for numbers; NaN = none
    weights: Tensor | None  # (labels,) what a row of each label counts; None = all alike


class Predictor(Protocol):
    """ROLE = "predictor": from all columns to one output a class, or one number."""

    Config: ClassVar[type]

    def __init__(self, config: Any, specs: dict[str, dict[str, Any]], out_dim: int, *, aim: str) -> None: ...

    def __call__(self, inputs: Inputs) -> Tensor:
        """(B, out_dim) logits, or scaled numbers."""
        ...

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Only of closed forms, trees and counts: see task.Solves."""
        ...


class Causal(Protocol):
    """ROLE = "causal": says of each token what follows it. `corpus` is at least the number of tokens it will learn from, 0 = unknown."""

    Config: ClassVar[type]
    num_tokens: int
    context: int  # tokens seen at once

    def __init__(self, config: Any, num_tokens: int, corpus: int = 0) -> None: ...

    def hidden(self, tokens: Tensor, *, segments: Tensor | None = None, cache: Any = None, first: int = 0) -> Tensor:
        """(B, T) tokens -> (B, T, …) what `logits` reads; a token never depends on those after it, nor on another segment's.

        With a cache the tokens go on from what its slots `first` … `first + B - 1` hold.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) scores whose softmax is the chance of each token to follow."""
        ...

    def cache(self, slots: int, capacity: int) -> Any:
        """Room for so many sequences of so many tokens, with `lengths`, `move`, `reorder` and `clear` as layers/cache.py has them."""
        ...

    def solve(self, batches: Iterable[CausalBatch]) -> Iterator[float]:
        """Only of counts: see task.Solves."""
        ...


class CausalBatch(Protocol):
    """The fields a solved causal model may read."""

    tokens: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64 what follows each, below 0 = nothing to learn
    segments: Tensor | None  # (B, T) the document of each token
