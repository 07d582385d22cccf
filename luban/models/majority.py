"""majority: the commonest label, or the mean number, whatever the inputs; the first rung of every ladder.

B batch, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from luban.roles import SupervisedBatch

ROLE, TAKES = "predictor", ("number", "category", "tags", "text", "image", "date", "series")


class Majority(nn.Module):
    """One constant: log shares of the labels, log odds of each tag, or the mean."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to set."""

    constant: Tensor  # (O,)

    def __init__(self, config: Majority.Config, specs: dict[str, Any], out_dim: int, *, aim: str) -> None:
        super().__init__()
        self.aim, self.column = aim, next(iter(specs))
        self.register_buffer("constant", torch.zeros(out_dim))

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, O), each row the same."""
        return self.constant.expand(len(inputs[self.column]), -1)

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Count, with half a row added to each label so that none is impossible."""
        target = torch.cat([batch.target for batch in batches])
        if self.aim == "number":
            self.constant.fill_(target[~target.isnan()].double().mean())
        elif self.aim == "tags":
            share = (target.nansum(0) + 0.5) / ((~target.isnan()).sum(0) + 1)
            self.constant.copy_(torch.logit(share))
        else:
            classes = max(2, len(self.constant))
            count = torch.bincount(target[target >= 0], minlength=classes).double() + 0.5
            if (weights := next(iter(batches)).weights) is not None:
                count *= weights
            log_share = (count / count.sum()).log()
            self.constant.copy_(log_share if len(self.constant) > 1 else log_share[1:] - log_share[:1])
        yield 1.0
