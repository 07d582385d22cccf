"""The size of a model that a budget decided, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from luban.messages import tr


@dataclass(frozen=True)
class Tried:
    """One size, by a few of its steps."""

    size: str
    parameters: int
    batch_size: int
    step_seconds: float
    passes: float  # over the rows that it gets to
    wanted: float  # that are enough
    fits: bool
    left: float | None = None  # to learn, by the task's law of scaling, in nats

    @property
    def good(self) -> bool:
        """Whether it may be chosen."""
        return self.fits and self.passes >= self.wanted

    def seen(self) -> str:
        """What it comes to, in a few words."""
        if not self.fits:
            return f"{self.size} {tr('too large')}"
        return f"{self.size} {self.passes:.1f}" + ("" if self.left is None else f" ({self.left:.3f})")


@dataclass(frozen=True)
class Choice:
    """The size, the batch where it is not the usual one, and what was measured."""

    size: str
    batch_size: int | None
    seconds: float  # of training that were counted on
    tried: list[Tried]

    def as_dict(self) -> dict[str, Any]:
        """For `size.json`."""
        return asdict(self)

    def why(self) -> str:
        """In a sentence."""
        seen = ", ".join(one.seen() for one in self.tried)
        if not seen:
            return tr("size {size}: the model is solved, or its checkpoint says how large it is", size=self.size)
        values = {"size": self.size, "seconds": self.seconds, "seen": seen}
        if any(one.left is not None for one in self.tried):
            what = tr("size {size}: passes over the text in {seconds:.0f} s of training (and nats a token left to learn): {seen}", **values)
        else:
            what = tr("size {size}: passes over the rows in {seconds:.0f} s of training: {seen}", **values)
        return what if self.batch_size is None else what + tr("; batches of {rows}, for more steps", rows=self.batch_size)


def from_dict(found: dict[str, Any]) -> Choice:
    """What `as_dict` gave."""
    return Choice(found["size"], found["batch_size"], found["seconds"], [Tried(**one) for one in found["tried"]])
