"""Value embeddings: beside what attention reads from the stream, a vector of its own for each token goes into the values.

B batch, T tokens, V tokens known, K heads of values, E width of a head. Zhou et al. 2024, "Value residual learning", mix the values of the first layer
into those of later ones; here, as in modded-nanogpt (Jordan et al. 2024), a table of each layer stands for them: v ← W x + g·e[token].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Reach = Literal["none", "alternate", "all"]


class ValueEmbedding(nn.Module):
    """g·e[token], with one learned gate for each head; the gates begin at 1 and the table close to 0."""

    def __init__(self, num_tokens: int, heads: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(num_tokens, heads * size)
        self.gate = nn.Parameter(torch.ones(heads))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, K, E)."""
        return self.table(tokens).unflatten(-1, (-1, self.size)) * self.gate[:, None]


def layers_of(reach: Reach, layers: int) -> list[int]:
    """Which layers have them: all, or every other one so that the last has."""
    if reach == "none":
        return []
    return [layer for layer in range(layers) if reach == "all" or (layers - 1 - layer) % 2 == 0]
