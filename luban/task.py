"""The contract: what the engine asks of a task. Raw rows in, raw answers out.

A task is one file under `tasks/`. Nine methods are asked of every task (`arrange` has a default); what only some tasks
do is a capability (`capabilities.py`), what some only state of themselves a trait. Nothing here names a domain.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from luban.scaling import Scaling

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from luban.columns import Columns
    from luban.draw import Draw

State = TypeVar("State")
Batch = TypeVar("Batch")
Prediction = TypeVar("Prediction")


@dataclass(frozen=True)
class Loss:
    """Yielded by `losses`: the engine weighs it by its count over micro-batches and ranks, then steps once."""

    value: Tensor  # () mean over `count` targets
    count: int
    part: str = ""  # submodule it moves; "" = all


@dataclass(frozen=True)
class Pool:
    """Yielded by a loss that compares examples: the engine sends back the values of the whole step.

    Until the next Loss the network may act only through what was pooled.
    """

    values: Tensor  # (B, D)


@dataclass(frozen=True)
class Split:
    """How a task's rows are divided when the recipe does not say."""

    by: str = "random"  # random | stratified | time | last
    group: str | None = None  # rows of one group stay together (random), or are cut by `order` (last, time)
    order: str | None = None
    context: bool = False  # may an example look back at rows of earlier splits? (histories, series)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What some tasks state of themselves; a task that states nothing is none of this."""

    reading: Mapping[str, Any] = field(default_factory=dict)  # [reading] as its data usually is
    asking: Mapping[str, Any] = field(default_factory=dict)  # the same of files that are only to be answered
    training: Mapping[str, Any] = field(
        default_factory=dict
    )  # [training] as its networks learn best from nothing, where it says nothing of that
    scaling: Scaling | None = None  # by which a budget decides the size of its network; None = by passes over the rows
    of_answers: tuple[str, ...] = ()  # settings that may be given anew with each question
    of_networks: tuple[str, ...] = ()  # settings that a solved model has no use for
    trains_whole: bool = False  # a pretrained model is never only read from
    fits_whole: bool = False  # `fit` must see every training row: what a sample lacks would be a stranger
    converses: bool = False  # its column may hold a conversation, whatever it is called


class Task(Protocol[State, Batch, Prediction]):
    """A frozen (config, state); state is None until fitted. One row of the table need not be one example."""

    Config: ClassVar[type]
    split: ClassVar[Split]
    metrics: ClassVar[tuple[str, ...]]  # names of functions of marks; the first one chooses the checkpoint
    # traits: ClassVar[Traits], where there is something to state
    config: Any
    state: State | None

    def fit(self, table: pl.DataFrame) -> State:
        """Learn what encoding needs, from training rows only; JSON."""
        ...

    def encode(self, table: pl.DataFrame) -> Columns:
        """One to one with rows, but for the rejects it lists: encode(a + b) == encode(a) + encode(b)."""
        ...

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Rows of a whole split -> examples as spans.

        `asked` marks the targets, the others are context; None = deployed: what follows. Default: the asked rows.
        """
        ...

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Examples -> tensors: all noise, negatives, masks and augmentation; `draw.training` says which."""
        ...

    def build(self) -> nn.Module:
        """The network, from config and state alone; nothing is read."""
        ...

    def losses(self, net: nn.Module, batch: Batch) -> Generator[Loss | Pool, Tensor, None]:
        """All micro-batches reach the same yield, the engine steps, then all resume."""
        ...

    def predict(self, net: nn.Module, batch: Batch) -> Prediction:
        """Tensors, row by row independent of the batch."""
        ...

    def answer(self, prediction: Prediction) -> pl.DataFrame:
        """Column-wise; one row per example."""
        ...

    def judge(self, prediction: Prediction, batch: Batch) -> dict[str, Any]:
        """Marks: for each example what the metrics need, as arrays with one leading axis."""
        ...

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Rows to learn from; feeds tests, docs and dry runs."""
        ...


def arrange(task: Task, rows: Columns, asked: np.ndarray | None) -> Columns:
    """The task's own arrangement, or the asked rows as they are."""
    if hasattr(task, "arrange"):
        return task.arrange(rows, asked)
    if asked is None or asked.all():
        return rows if asked is None else replace(rows, rejects=())
    return rows.take(asked.nonzero()[0])


def traits_of(task: Any) -> Traits:
    """What a task, or its class, states of itself."""
    stated: Traits = getattr(task, "traits", Traits())
    return stated
