"""The net of a recommender: a model, and the memory of what training saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from luban.recommending import index, ranking
from luban.recommending.batch import Batch
from luban.recommending.memory import Memory

if TYPE_CHECKING:
    from luban.columns import Columns


class Recommending(nn.Module):
    """Scores every item for some users; whoever has no history is shown what most users took."""

    def __init__(self, model: Any, memory: Memory) -> None:
        super().__init__()
        self.model, self.memory = model, memory
        if isinstance(getattr(model, "epochs", None), int):
            self.epochs = model.epochs

    def remember(self, examples: Columns) -> None:
        """The training examples, once, before anything is learnt."""
        self.memory.fill(examples)
        if hasattr(self.model, "prepare"):
            self.model.prepare(self.memory)

    def check_buffers(self) -> None:
        """Raises ValueError where a bundle's buffers cannot be."""
        for part in (self.memory, self.model):
            if hasattr(part, "check_buffers"):
                part.check_buffers()

    def best(self, batch: Batch, count: int, *, repeat: bool, allowed: Tensor | None, search: str = "exact") -> tuple[Tensor, Tensor]:
        """(B, count) items and their scores, what the user met left out unless it may be repeated; a filter is always searched exactly."""
        query = self.model.query(batch, self.memory)
        bare = batch.lengths == 0
        if hasattr(self.model, "knows"):
            bare &= ~self.model.knows(batch)
        common = self.memory.counts / self.memory.counts.max().clamp(min=1)

        def score(start: int, stop: int) -> Tensor:
            found = self.model.score(query, start, stop)
            return torch.where(bare[:, None], common[start:stop], found) if bool(bare.any()) else found

        pairs = torch.cat([torch.stack([batch.owner, batch.history], 1), batch.hidden])
        hidden = (pairs[:0, 0], pairs[:0, 1]) if repeat else (pairs[:, 0].cpu(), pairs[:, 1].cpu())
        sizes = len(batch.user), len(self.memory.counts), count
        if allowed is not None or not index.used(search, self.model, len(self.memory.counts)):
            return ranking.best(score, *sizes, hidden=hidden, allowed=allowed)

        def exact(rows: Tensor) -> tuple[Tensor, Tensor]:
            users, items = self.model.vectors_of(query)
            mine = torch.isin(hidden[0], rows)
            few = torch.searchsorted(rows, hidden[0][mine]), hidden[1][mine]

            def score(start: int, stop: int) -> Tensor:
                return torch.where(bare[rows, None], common[start:stop], users[rows] @ items[start:stop].T)

            return ranking.best(score, len(rows), *sizes[1:], hidden=few, allowed=None)

        return index.best(self.model, query, count, hidden=hidden, bare=bare.cpu(), exact=exact)


class SolvedRecommending(Recommending):
    """The same over a model in closed form."""

    def solve(self, batches: Iterable[Batch]) -> Iterator[float]:
        """As the model does it; it may look into the memory."""
        yield from self.model.solve(batches)
