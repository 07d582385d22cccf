"""mlp: a multilayer perceptron over all table columns at once; numbers as periodic (PLR) embeddings.

B batch, F numbers, K frequencies, E embedding width, D width.
Rumelhart, Hinton and Williams 1986; PLR: Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical features", eq. 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from luban.layers.dense import Activation, Share, Width, Widths, dense

ROLE, TAKES = "encoder", ("number", "category", "tags", "date", "image", "series")
MANY = ("number", "category", "tags", "date", "image", "series")
SIZES = {"tiny": {"hidden": [64]}, "small": {"hidden": [256, 256]}, "base": {"hidden": [512, 512, 256]}}


class MLP(nn.Module):
    """Each column becomes a vector, all vectors are joined, fully connected layers follow."""

    learning_rate = 1e-3
    weight_decay = 0.05
    epochs = 10

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, and how columns enter."""

        hidden: Widths = (256, 256)
        """Widths of the layers; none = the columns go straight to the head."""
        activation: Activation = "relu"
        """After each layer."""
        dropout: Share = 0.3
        """Share of values dropped after each layer."""
        numbers: Literal["plr", "plain"] = "plr"
        """`plr`: sines and cosines of learnt frequencies, then a linear layer and ReLU per number; `plain`: as they are."""
        num_frequencies: Width = 24
        """Frequencies per number."""
        frequency_scale: Annotated[float, Gt(0), Le(1000)] = 0.6
        """Standard deviation of the first frequencies, on standardised numbers."""
        number_dim: Width = 12
        """Width of a number's embedding."""
        category_dim: Width | None = None
        """Width of a category's embedding; left out, 1.6 · K^0.56 for K names, at most 64."""

    def __init__(self, config: MLP.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.specs = specs
        self.numbers = [column for column, spec in specs.items() if spec["kind"] == "number"]
        self.marked = [i for i, column in enumerate(self.numbers) if specs[column].get("missing")]
        self.others = [column for column in specs if column not in self.numbers]
        self.periodic = None
        width = len(self.numbers) + len(self.marked)
        if config.numbers == "plr" and self.numbers:
            self.periodic = Periodic(len(self.numbers), config.num_frequencies, config.frequency_scale, config.number_dim)
            width = len(self.numbers) * config.number_dim + len(self.marked)
        self.embeddings = nn.ModuleList()
        for column in self.others:
            if specs[column]["kind"] == "category":
                names = len(specs[column]["names"]) + 1
                self.embeddings.append(embedding(names, config.category_dim or min(64, round(1.6 * names**0.56))))
            else:
                self.embeddings.append(nn.Flatten())
            width += width_of(specs[column], self.embeddings[-1])
        self.layers = dense([width, *config.hidden], activation=config.activation, dropout=config.dropout)
        self.out_dim = config.hidden[-1] if config.hidden else width

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, out_dim)."""
        parts = [self.embed_numbers(inputs)] if self.numbers else []
        parts += [fixed(module(inputs[column]), self.specs[column]) for column, module in zip(self.others, self.embeddings, strict=True)]
        return self.layers(torch.cat([part.nan_to_num(0.0) for part in parts], dim=1))

    def embed_numbers(self, inputs: dict[str, Any]) -> Tensor:
        """(B, F·E + one flag for each number that can be missing); NaN = missing."""
        x = torch.stack([inputs[column] for column in self.numbers], dim=1)  # (B, F)
        flags = x[:, self.marked].isnan().to(x.dtype)
        x = x.nan_to_num(0.0)
        return torch.cat([x if self.periodic is None else self.periodic(x), flags], dim=1)


class Periodic(nn.Module):
    """ReLU(Linear([sin(2π c x), cos(2π c x)])), one linear layer per number."""

    def __init__(self, num_numbers: int, num_frequencies: int, scale: float, out_dim: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.randn(num_numbers, num_frequencies) * scale)
        bound = 1 / math.sqrt(2 * num_frequencies)
        self.weight = nn.Parameter(torch.empty(num_numbers, 2 * num_frequencies, out_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numbers, out_dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F·E)."""
        angle = 2 * math.pi * self.frequency * x[..., None]  # (B, F, K)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)  # (B, F, 2K)
        return torch.relu(torch.einsum("bfk,fke->bfe", waves, self.weight) + self.bias).flatten(1)


def embedding(count: int, width: int) -> nn.Embedding:
    """Rows of N(0, 1/√width)."""
    layer = nn.Embedding(count, width)
    nn.init.normal_(layer.weight, std=width**-0.5)
    return layer


def width_of(spec: dict[str, Any], module: nn.Module) -> int:
    """Values a column brings."""
    match spec["kind"]:
        case "category":
            return module.embedding_dim  # type: ignore[union-attr,return-value]
        case "tags":
            return len(spec["names"])
        case "image":
            return spec["channels"] * spec["size"][0] * spec["size"][1]
        case "series":
            return spec["longest"] * spec["numbers"]
        case _:
            return 9  # date


def fixed(x: Tensor, spec: dict[str, Any]) -> Tensor:
    """Series cut or filled to the longest of the training rows: a flat vector has one width."""
    if spec["kind"] != "series":
        return x
    wanted = spec["longest"] * spec["numbers"]
    return nn.functional.pad(x, (0, max(0, wanted - x.shape[1])))[:, :wanted]
