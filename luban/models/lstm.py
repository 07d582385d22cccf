"""lstm: long short-term memory over tokens or steps, layers of any widths.

B batch, T steps, D width. Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000, eq. 1-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from luban.layers.dense import Share, Width, Widths
from luban.layers.dropout import Dropout
from luban.layers.recurrent import backwards, both_ways, recurrent
from luban.layers.texts import Texts

ROLE, TAKES, MANY = "encoder", ("text", "series"), ("text",)
SIZES = {
    "tiny": {"embedding": 32, "hidden": [32]},
    "small": {"embedding": 64, "hidden": [64]},
    "base": {"embedding": 128, "hidden": [128, 128]},
}
UNKNOWN = 1  # a token of the alphabet that stands for a dropped one


class LSTM(nn.Module):
    """Layers of LSTM over one series, or over texts as one sequence. Steps are padded, not packed, which is four times faster on a CPU; padding never reaches a state."""

    learning_rate = 4e-3
    epochs = 5

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, directions, and how steps become one vector."""

        embedding: Width = 64
        """Width of a token's vector; a series enters as it is."""
        hidden: Widths = (64,)
        """Width of each layer, of each direction."""
        bidirectional: bool = True
        """Read both ways (Graves and Schmidhuber 2005)."""
        biases: Literal[1, 2] = 2
        """Bias vectors a gate: 1 as in the equations, 2 as torch has them (one is redundant)."""
        final: Literal["last", "max", "mean"] = "max"
        """The vector: the last state, or the largest or mean value over the steps."""
        token_dropout: Share = 0.1
        """Share of the tokens hidden in training (Iyyer et al. 2015, section 3.1)."""
        embedding_dropout: Share = 0.2
        """Share of the tokens' values dropped."""
        dropout: Share = 0.3
        """Share of values dropped between layers and at the end."""

    def __init__(self, config: LSTM.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        from luban.kinds.text import Text

        self.column, spec = next(iter(specs.items()))
        self.config = config
        self.texts = Texts(list(specs), Text.num_tokens(spec), config.embedding, std=0.1) if spec["kind"] == "text" else None
        width = spec.get("numbers", config.embedding)
        self.layers = nn.ModuleList()
        for hidden in config.hidden:
            ways = 2 if config.bidirectional else 1
            self.layers.append(nn.ModuleList(recurrent(width, hidden, config.biases) for _ in range(ways)))
            width = hidden * ways
        self.embedding_dropout, self.dropout, self.out_dim = Dropout(config.embedding_dropout), Dropout(config.dropout), width

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D)."""
        if self.texts is not None:
            tokens, columns = self.texts.tokens(inputs)
            known, x = tokens > 0, self.embedding_dropout(self.texts(self.hide(tokens), columns))  # (B, T), (B, T, D)
        else:
            known, x = ~inputs[self.column][..., 0].isnan(), inputs[self.column].nan_to_num(0.0)
        lengths = known.sum(1).clamp(min=1)
        steps = torch.arange(x.shape[1], device=x.device)
        turned = backwards(lengths, steps)  # (B, T)
        for number, layer in enumerate(self.layers):
            x = both_ways(self.dropout(x) if number else x, layer, turned)
        return self.dropout(joined(x, lengths, steps, self.config.final))

    def hide(self, tokens: Tensor) -> Tensor:
        """Some tokens replaced in training."""
        if not self.training or not self.config.token_dropout:
            return tokens
        chosen = torch.rand(tokens.shape, device=tokens.device) < self.config.token_dropout
        return torch.where(chosen & (tokens > 0), UNKNOWN, tokens)


def joined(x: Tensor, lengths: Tensor, steps: Tensor, how: str) -> Tensor:
    """(B, T, D) states -> (B, D); a state beyond the end counts for nothing."""
    if how == "last":
        return x[torch.arange(len(x), device=x.device), lengths - 1]
    real = (steps < lengths[:, None])[..., None]  # (B, T, 1)
    if how == "max":
        return x.masked_fill(~real, float("-inf")).amax(1)
    return (x * real).sum(1) / lengths[:, None]
