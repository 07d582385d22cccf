"""The net that reads a question and a piece of its context, and how far its answers can be trusted. W windows, T tokens, D width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from luban.answering.calibration import NEVER
from luban.layers.texts import in_a_row

STD = 0.02


class Trust(nn.Module):
    """From which score on to answer, and the chance that an answer of a score is right; learnt from held-out questions."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("threshold", 0.0), ("slope", 1.0), ("offset", 0.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def set(self, threshold: float, slope: float, offset: float) -> None:
        """Keep what was learnt."""
        for name, value in (("threshold", threshold), ("slope", slope), ("offset", offset)):
            self.get_buffer(name).fill_(min(NEVER, max(-NEVER, value)))

    def answers(self, score: Tensor) -> Tensor:
        """(N,) bool, whether to answer."""
        return score > self.get_buffer("threshold")

    def chance(self, score: Tensor) -> Tensor:
        """(N,) float64."""
        return torch.sigmoid(self.get_buffer("slope") * score + self.get_buffer("offset"))

    def check(self) -> None:
        """Raises ValueError where a number is not finite: the buffers of a bundle come from a stranger."""
        if not all(bool(torch.isfinite(buffer)) for buffer in self.buffers()):
            raise ValueError("trust")


class Extracting(nn.Module):
    """An encoder of tokens and a linear layer that says of each how well an answer begins and ends there."""

    def __init__(self, encoder: Any, joints: tuple[int, int]) -> None:
        super().__init__()
        self.encoder, self.joints, self.trust = encoder, joints, Trust()
        self.head = nn.Linear(encoder.out_dim, 2)
        nn.init.normal_(self.head.weight, std=STD)
        nn.init.zeros_(self.head.bias)

    @property
    def learning_rate(self) -> float:
        """The encoder's."""
        return self.encoder.learning_rate

    @property
    def epochs(self) -> float:
        """The encoder's."""
        return self.encoder.epochs

    def forward(self, question: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(W, Q), (W, S) -> (W, T, 2) scores, and (W, T) the place of each token in the piece of context, -1 = none."""
        tokens, columns, place = joined(question, context, self.joints)
        return self.head(self.encoder.states(tokens, columns)).float(), place

    def check_buffers(self) -> None:
        """Raises ValueError for what no calibration makes."""
        self.trust.check()


class SolvedExtracting(nn.Module):
    """The same around a reader that is counted, not trained."""

    def __init__(self, reader: Any, joints: tuple[int, int]) -> None:
        super().__init__()
        self.reader, self.joints, self.trust = reader, joints, Trust()

    def forward(self, question: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Extracting`."""
        tokens, columns, place = joined(question, context, self.joints)
        scores = self.reader(tokens, columns)
        return scores * (place >= 0)[..., None], place  # the opening token's are 0: no answer

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """Count."""
        yield from self.reader.solve(batches)

    def check_buffers(self) -> None:
        """Raises ValueError for what no calibration makes."""
        self.trust.check()


def joined(question: Tensor, context: Tensor, joints: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """(W, T) tokens in a row, (W, T) columns, (W, T) place in the piece of context; the token that opens the piece gives way."""
    opens, by = joints
    later = torch.where(context == opens, by, context)
    number = torch.arange(context.shape[1], device=context.device).expand_as(context)
    closed = context.gt(0).sum(1, keepdim=True) - 1
    inside = (number > 0) & (number < closed)
    mark = torch.where(inside, number + 1, 1).masked_fill(later == 0, 0)  # 1 = no token of the context; its first has 2
    tokens, columns = in_a_row([question, later])
    place, _ = in_a_row([question.gt(0).long(), mark])
    return tokens, columns, place - 2
