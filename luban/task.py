"""The contract: what the engine asks of a task. Raw rows in, raw answers out.

A task is one file under `tasks/`. Nine methods are asked of every task (`arrange` has a default), and what only
some tasks do is a capability found by its one method. Nothing here names a domain, and nothing of ours is imported.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

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


class Task(Protocol[State, Batch, Prediction]):
    """A frozen (config, state); state is None until fitted. One row of the table need not be one example."""

    Config: ClassVar[type]
    split: ClassVar[Split]
    metrics: ClassVar[tuple[str, ...]]  # names of functions of marks; the first one chooses the checkpoint
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


@runtime_checkable
class Solves(Protocol):
    """A net: closed form, trees, counts. The engine then takes no steps."""

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """`batches` can be gone through again and again, in evaluation mode; yields progress in 0 … 1."""
        ...


@runtime_checkable
class Weighs(Protocol):
    """A net that is solved with its rows held in memory: where they do not fit, it is given a sample of them."""

    def weigh(self, batch: Any) -> tuple[float, float]:
        """Bytes held whatever the rows are, and bytes for each row, about; from one batch."""
        ...


@runtime_checkable
class Starts(Protocol):
    """A task: fills a fresh net with pretrained weights; never run on a bundle."""

    def start(self, net: nn.Module) -> None:
        """Load once, on a fresh run."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A task: puts facts of the training examples into a fresh net, in buffers of a size known to `build`."""

    def remember(self, net: nn.Module, examples: Columns) -> None:
        """Once, before anything is learnt; never run on a bundle, whose weights hold them."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A task that reads columns of its own beside its inputs, such as a user and an item."""

    columns: dict[str, str]  # what it says -> the column


@runtime_checkable
class Asks(Protocol):
    """A task whose training rows look like any others: which examples an evaluation of a bundle asks."""

    def questions(self, rows: Columns) -> Columns:
        """All rows are targets."""
        ...


@runtime_checkable
class Slices(Protocol):
    """A task: parts of the marks that are worth a score of their own."""

    def slices(self, marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
        """(by what, which part, its marks)."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """A task: learns from the validation rows when its answers are to be trusted, once the net is fitted; kept in the net's buffers."""

    def calibrate(self, net: nn.Module, marks: Columns) -> None:
        """The marks are those of the validation rows by this net; of the same marks always the same."""
        ...


@runtime_checkable
class Illustrates(Protocol):
    """A task: what the report shows of judged examples, beside their scores."""

    def illustrate(self, net: nn.Module, examples: Columns, marks: Columns) -> dict[str, Any]:
        """Parts of the report by their names; `examples` and `marks` go together row by row."""
        ...


@runtime_checkable
class Errs(Protocol):
    """A task whose answers are more than a label or a number: what it got wrong, as a report shows it."""

    def mistakes(self, marks: Columns, most: int) -> list[tuple[int, Any, Any, float | None]]:
        """(place among the marks, what was right, what was said, how sure it was), the worst first."""
        ...


@runtime_checkable
class Glances(Protocol):
    """A task whose answers are dear: what of the validation examples judges the network between its steps."""

    def glance(self, examples: Columns, metric: str) -> Columns:
        """The same each time; once the network is finished all are judged."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A task: answers piece by piece."""

    def stream(self, net: nn.Module, batch: Any, draw: Draw) -> Iterator[pl.DataFrame]:
        """Frames that, put together, are the answer."""
        ...


@runtime_checkable
class Speaks(Protocol):
    """A task that streams token by token: many answers can be said beside each other, a step of the net for all of them."""

    def slots(self, net: nn.Module, *, slots: int, capacity: int, kept: int, part: int) -> Any:
        """Where they are said: `add` a prompt under the task's `config.generation`, `step` while `busy`, `cancel`; see `generating.slots`."""
        ...

    def whole_prompts(self, table: pl.DataFrame) -> list[np.ndarray]:
        """Tokens of each row as a prompt, however long."""
        ...


@runtime_checkable
class Acts(Protocol):
    """A task without rows: what to learn from, and its marks."""

    def play(self, net: nn.Module, draw: Draw) -> tuple[Any, Columns]:
        """One batch of experience, a pure function of the net and the draw."""
        ...


@runtime_checkable
class Climbs(Protocol):
    """A task: the same task under other models, cheapest first; the ladder of baselines, and what `auto` chooses from."""

    def rungs(self) -> tuple[Task, ...]:
        """Fitted tasks that differ in their model only."""
        ...


def arrange(task: Task, rows: Columns, asked: np.ndarray | None) -> Columns:
    """The task's own arrangement, or the asked rows as they are."""
    if hasattr(task, "arrange"):
        return task.arrange(rows, asked)
    if asked is None or asked.all():
        return rows if asked is None else replace(rows, rejects=())
    return rows.take(asked.nonzero()[0])
