"""Capabilities: what only some tasks, or some nets, can do. Each is found by its method; nobody declares it.

A task is written against `task.py`; it gains one of these by having the method. Nothing here names a domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import nn

    from luban.columns import Columns
    from luban.draw import Draw
    from luban.task import Split, Task


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
class Represents(Protocol):
    """A net that is solved another way where there are more rows: in a forecast it solves a sample as it would the whole."""

    stands_for: float  # rows that each row given stands for


@runtime_checkable
class GoesInRounds(Protocol):
    """A net that is solved in rounds over all rows, as many as it finds it needs: a forecast asks for a few over all rows, for all over some."""

    rounds: int  # the most there can be
    most_rounds: int  # no more are gone through
    rounds_taken: float  # by the last solve; of several models side by side, each on average


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
    """A task whose answers are dear: which validation examples judge a network, and how they are answered."""

    def glance(self, examples: Columns, metric: str, *, last: bool) -> Columns:
        """Between the network's steps; `last`: where a test split follows, for every rung. The same each time."""
        ...

    def as_learnt(self, examples: Columns) -> Columns:
        """The same examples, to be answered at the lengths of their targets: a rehearsal's net would not find the end of an answer."""
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

    def slots(self, net: nn.Module, *, slots: int, capacity: int, kept: int, part: int, guessing: Any) -> Any:
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


@runtime_checkable
class Guards(Protocol):
    """A task: refuses settings that cannot work before any data is read."""

    @staticmethod
    def check_config(config: Any, where: str) -> None:
        """Raises RecipeError."""
        ...


@runtime_checkable
class Bounds(Protocol):
    """A task whose model holds more than its weights tell: whether that fits."""

    def check_capacity(self, most: int) -> None:
        """`most` bytes are there. Raises RecipeError."""
        ...


@runtime_checkable
class FindsInputs(Protocol):
    """A task that knows what its inputs are called, where the recipe names none."""

    def inputs_of(self, table: pl.DataFrame) -> dict[str, str]:
        """Columns and their kinds."""
        ...


@runtime_checkable
class FindsTarget(Protocol):
    """A task that knows what its target is called, where the recipe names none."""

    def target_of(self, table: pl.DataFrame) -> str:
        """The column, "" for none."""
        ...


@runtime_checkable
class FindsSplit(Protocol):
    """A task that divides its rows by what the table holds, where the recipe leaves it open."""

    def split_of(self, table: pl.DataFrame) -> Split:
        """How."""
        ...


@runtime_checkable
class Describes(Protocol):
    """A task of which some rows happened to nobody, but say what something is: known from the start, they belong to no split."""

    def described(self, table: pl.DataFrame) -> np.ndarray:
        """(N,) which."""
        ...


@runtime_checkable
class Uses(Protocol):
    """A task whose own settings name columns beside inputs and target; a row is still an example, which is not so of what `Reads`."""

    beside: dict[str, str]  # column -> its kind where a question has it too, "" where only the rows of a run may


@runtime_checkable
class Spares(Protocol):
    """A task: columns among its inputs that answers can do without."""

    optional: tuple[str, ...]


@runtime_checkable
class Repeats(Protocol):
    """A task whose answers hang on ties, which machines break otherwise."""

    def checked(self) -> Self:
        """The same task as it answers golden rows."""
        ...


def spared(task: Any) -> tuple[str, ...]:
    """Columns that answers can do without."""
    return tuple(task.optional) if isinstance(task, Spares) else ()


def used_beside(task: Any) -> dict[str, str]:
    """Columns beside inputs and target that settings of the task name, and of what kind those are that a question has too."""
    return dict(task.beside) if isinstance(task, Uses) else {}


def columns_read(task: Any) -> dict[str, str]:
    """Columns of its own that a task reads, by what they say."""
    return task.columns if isinstance(task, Reads) else {}
