"""lstm: long short-term memory over tokens or steps, layers of any widths.

B batch, T steps, D width. Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000, eq. 1-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

ROLE, TAKES = "encoder", ("text", "series")
SIZES = {
    "tiny": {"embedding": 64, "hidden": [64]},
    "small": {"embedding": 128, "hidden": [128]},
    "base": {"embedding": 256, "hidden": [256, 256]},
}


class LSTM(nn.Module):
    """Layers of LSTM over one column; padding never reaches a state."""

    learning_rate = 2e-3

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, directions, and how steps become one vector."""

        embedding: int = 128
        """Width of a token's vector; a series enters as it is."""
        hidden: tuple[int, ...] = (128,)
        """Width of each layer, of each direction."""
        bidirectional: bool = True
        """Read both ways."""
        biases: Literal[1, 2] = 2
        """Bias vectors a gate: 1 as in the equations, 2 as torch has them (one is redundant)."""
        final: Literal["last", "max", "mean"] = "max"
        """The vector: the last state, or the largest or mean value over the steps."""
        dropout: float = 0.2
        """Share of values dropped between layers and at the end."""

    def __init__(self, config: LSTM.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        from luban.kinds.text import Text

        ((self.column, spec),) = specs.items()
        self.embed = None
        width = spec.get("numbers", config.embedding)
        if spec["kind"] == "text":
            self.embed = nn.Embedding(Text.num_tokens(spec), config.embedding, padding_idx=0)
        directions = 2 if config.bidirectional else 1
        self.layers = nn.ModuleList()
        for hidden in config.hidden:
            self.layers.append(nn.LSTM(width, hidden, batch_first=True, bidirectional=config.bidirectional))
            width = hidden * directions
        if config.biases == 1:
            drop_second_bias(self.layers)
        self.final, self.dropout, self.out_dim = config.final, nn.Dropout(config.dropout), width

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D)."""
        x = inputs[self.column]
        known = x > 0 if self.embed is not None else ~x[..., 0].isnan()  # (B, T)
        x = self.embed(x) if self.embed is not None else x.nan_to_num(0.0)  # (B, T, D)
        lengths = known.sum(1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        for layer in self.layers:
            packed = packed._replace(data=self.dropout(packed.data))
            packed, (last, _) = layer(packed)
        if self.final == "last":
            return self.dropout(last.transpose(0, 1).flatten(1))  # (B, directions·D)
        states, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])  # (B, T, D)
        mask = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]
        if self.final == "max":
            return self.dropout(states.masked_fill(~mask, float("-inf")).amax(1))
        return self.dropout((states * mask).sum(1) / lengths[:, None])


@torch.no_grad()
def drop_second_bias(layers: nn.ModuleList) -> None:
    """Hold torch's second bias at 0, out of training: the equations have one."""
    for layer in layers:
        for name, parameter in layer.named_parameters():
            if name.startswith("bias_hh"):
                parameter.zero_()
                parameter.requires_grad_(False)
