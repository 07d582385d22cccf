"""Text columns as one sequence: the tokens of each, one column after the other, without gaps.

B batch, T tokens, C columns, D width. Segment vectors: Devlin et al. 2019, fig. 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def in_a_row(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """C times (B, its T) tokens, 0 = padding -> (B, T) tokens, padded on the right alone, and (B, T) the column of each."""
    if len(texts) == 1:
        return texts[0], torch.zeros_like(texts[0])
    tokens = torch.cat(list(texts), dim=1)
    columns = torch.cat([torch.full_like(text, number) for number, text in enumerate(texts)], dim=1)
    known = tokens > 0
    order = (~known).to(torch.uint8).argsort(dim=1, stable=True)[:, : max(1, int(known.sum(1).max()))]
    return tokens.gather(1, order), columns.gather(1, order)


class Texts(nn.Module):
    """Vectors of the tokens of one text column or several, and of the column they stand in."""

    def __init__(self, columns: Sequence[str], num_tokens: int, width: int, std: float) -> None:
        super().__init__()
        self.columns = list(columns)
        self.embed = nn.Embedding(num_tokens, width, padding_idx=0)
        nn.init.normal_(self.embed.weight, std=std)
        with torch.no_grad():
            self.embed.weight[0] = 0
        self.segments = nn.Embedding(len(columns), width) if len(columns) > 1 else None
        if self.segments is not None:
            nn.init.zeros_(self.segments.weight)

    def tokens(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(B, T) tokens and (B, T) columns."""
        return in_a_row([inputs[column] for column in self.columns])

    def forward(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """(B, T, D)."""
        x = self.embed(tokens)
        return x if self.segments is None else x + self.segments(columns)
