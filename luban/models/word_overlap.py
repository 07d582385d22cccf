"""word_overlap: an answer stands near the words of its question and holds none of them; the rung below every trained reader.

W windows, T tokens, V tokens known. As the sliding windows of Richardson, Burges and Renshaw 2013, section 4.1, with distance instead of a window,
and summed so that a span's score is that of its beginning and its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from luban.roles import Asked

ROLE, TAKES = "reader", ("text",)


class WordOverlap(nn.Module):
    """How rare each token is, and nothing else that is learnt."""

    rarity: Tensor  # (V,)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How far a word of the question reaches."""

        reach: Annotated[int, Gt(0), Le(1000)] = 12
        """Tokens on each side; what a word says falls to nothing there."""

    def __init__(self, config: WordOverlap.Config, num_tokens: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rarity", torch.zeros(num_tokens))

    def forward(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """(W, T) tokens, (W, T) 0 in the question and 1 in the context -> (W, T, 2)."""
        context = (columns == 1) & (tokens > 0)
        question = tokens.masked_fill((columns == 1) | (tokens == 0), -1)
        shared = context & (tokens[:, :, None] == question[:, None, :]).any(2)
        weight = self.rarity[tokens] * shared  # (W, T)
        reach = self.config.reach
        fall = 1 - torch.arange(-reach, reach + 1, device=tokens.device).abs() / (reach + 1)  # (2 reach + 1,)
        near = F.conv1d(weight[:, None], fall.to(weight)[None, None], padding=reach)[:, 0]
        mean = (near * context).sum(1, keepdim=True) / context.sum(1, keepdim=True).clamp(min=1)
        gain = torch.where(shared, -weight, near - mean) * context
        till = gain.cumsum(1)
        return torch.stack([gain - till, till], 2)

    def solve(self, batches: Iterable[Asked]) -> Iterator[float]:
        """Count in how many windows each token stands."""
        windows, total = torch.zeros_like(self.rarity, dtype=torch.float64), 0
        for batch in batches:
            for row in batch.context:
                windows[row.unique()] += 1
            total += len(batch.context)
        self.rarity.copy_(torch.log1p((total - windows + 0.5) / (windows + 0.5)))
        self.rarity[0] = 0
        yield 1.0
