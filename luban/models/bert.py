"""bert: an encoder of tokens that read each other in both directions, normalised after each sublayer; loads BERT, RoBERTa and MiniLM.

B batch, T tokens, D width, H heads, F feed-forward width, V vocabulary, C columns.
Devlin et al. 2019; Liu et al. 2019 (RoBERTa); layers as Vaswani et al. 2017, section 3.1: x ← LayerNorm(x + Sublayer(x)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import RecipeError
from luban.layers.attention import Attention, Shape
from luban.layers.dense import Count, Share, Width
from luban.layers.dropout import Dropout
from luban.layers.feed_forward import FUNCTIONS, FeedForward
from luban.layers.texts import in_a_row
from luban.messages import tr

ROLE, TAKES, MANY = "encoder", ("text",), ("text",)
SIZES = {
    "tiny": {"width": 128, "layers": 2, "heads": 2, "feed": 512},
    "small": {"width": 512, "layers": 4, "heads": 8, "feed": 2048},
    "base": {"width": 768, "layers": 12, "heads": 12, "feed": 3072},
}
STD = 0.02


class Bert(nn.Module):
    """Tokens, places and segments added up; blocks; one vector a row from the tokens' states."""

    learning_rate = 1e-4
    epochs = 8

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Width and depth; what a checkpoint states is taken from it."""

        width: Width = 512
        """Width of a token's vector."""
        layers: Count = 4
        """Layers of attention and feed-forward."""
        heads: Count = 8
        """Attention heads; they divide the width."""
        feed: Width = 2048
        """Width of the feed-forward layer."""
        activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
        """Of the feed-forward layer."""
        vocabulary: Annotated[int, Gt(0), Le(1_000_000)] | None = None
        """Rows of the table of tokens. Left out: as many as the tokenizer has tokens."""
        positions: Annotated[int, Gt(0), Le(65_536)] | None = None
        """Places a text can have. Left out: what `max_length` of its columns asks for."""
        first_position: Annotated[int, Ge(0), Le(16)] = 0
        """The place of the first token; RoBERTa begins at 2."""
        segments: Annotated[int, Gt(0), Le(64)] = 2
        """Vectors that tell text columns apart; later columns share the last."""
        norm_eps: Annotated[float, Gt(0)] = 1e-12
        """Added inside the root of a layer's norm."""
        dropout: Share = 0.1
        """Share of values dropped after each sublayer and of the tokens' vectors."""
        attention_dropout: Share = 0.1
        """Share of the attention weights dropped."""
        pooling: Literal["mean", "first", "pooler"] = "mean"
        """One vector from many: the mean over the tokens, the first token's, or the first token's through a tanh layer."""

    def __init__(self, config: Bert.Config, specs: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        from luban.kinds.text import Text

        self.config, self.columns, self.out_dim = config, list(specs), config.width
        spec = next(iter(specs.values()))
        self.join = Text.joints(spec)  # the tokens that open and close a text, where its tokenizer sets them
        longest = sum(one["max_length"] for one in specs.values())
        self.longest = longest if config.positions is None else config.positions - config.first_position
        rows = config.vocabulary or Text.num_tokens(spec)
        if rows < Text.num_tokens(spec):
            what, fix = tr("the table of tokens is smaller than the vocabulary"), tr("leave it out, or raise it")
            raise RecipeError("L127", what, where="model.vocabulary", received=rows, allowed=[Text.num_tokens(spec)], fix=fix)
        self.words = nn.Embedding(rows, config.width, padding_idx=0)
        self.places = nn.Embedding(self.longest + config.first_position, config.width)
        self.segments = nn.Embedding(config.segments, config.width)
        self.norm, self.dropout = nn.LayerNorm(config.width, eps=config.norm_eps), Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.pooler = nn.Linear(config.width, config.width) if config.pooling == "pooler" else None
        self.apply(begin)

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D)."""
        return self.above(*self.below(inputs, 0), 0)

    def below(self, inputs: dict[str, Any], depth: int) -> tuple[Tensor, Tensor]:
        """(B, T, D) states after so many blocks, and (B, T) which tokens are there: what blocks above them can be tuned on."""
        tokens, columns = self.tokens(inputs)  # (B, T) each
        return self.through(self.embedded(tokens, columns), present(tokens), self.blocks[:depth]), present(tokens)

    def above(self, states: Tensor, known: Tensor, depth: int) -> Tensor:
        """(B, T, D) states after so many blocks, (B, T) -> (B, D) through the others, one vector a row."""
        states = self.through(states, known, self.blocks[depth:])
        if self.config.pooling == "mean":
            weight = known[..., None].to(states.dtype)  # (B, T, 1)
            return (states * weight).sum(1) / weight.sum(1)
        first = states[:, 0]
        return first if self.pooler is None else self.pooler(first).tanh()

    def tokens(self, inputs: dict[str, Any], *, like: dict[str, Any] | None = None) -> tuple[Tensor, Tensor]:
        """(B, T) tokens and (B, T) columns: texts in a row, each later one opened as a pair is, cut to the places there are.

        `like` are the texts themselves where `inputs` is something else of each of their tokens, never 0.
        """
        texts = [inputs[column] for column in self.columns]
        if like is not None and self.join is not None and self.join[1] == 0:
            texts = [
                texts[0],
                *(part.masked_fill(like[name] == self.join[0], 0) for name, part in zip(self.columns[1:], texts[1:], strict=True)),
            ]
        elif like is None and self.join is not None:
            texts = [texts[0], *(reopened(text, *self.join) for text in texts[1:])]
        tokens, columns = in_a_row(texts)
        return tokens[:, : self.longest], columns[:, : self.longest]

    def states(self, tokens: Tensor, columns: Tensor | None = None) -> Tensor:
        """(B, T, D) the last layer's state of each token; a row's states do not depend on its padding."""
        columns = torch.zeros_like(tokens) if columns is None else columns
        return self.through(self.embedded(tokens, columns), present(tokens), self.blocks)

    def embedded(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """(B, T) tokens and columns -> (B, T, D)."""
        place = torch.arange(tokens.shape[1], device=tokens.device) + self.config.first_position
        segment = columns.clamp(max=self.config.segments - 1)
        return self.dropout(self.norm(self.words(tokens) + self.places(place) + self.segments(segment)))

    def through(self, x: Tensor, known: Tensor, blocks: nn.ModuleList) -> Tensor:
        """(B, T, D), (B, T) which tokens are there -> (B, T, D)."""
        mask = known[:, None, None, :]  # (B, 1, 1, T)
        for block in blocks:
            x = block(x, mask)
        return x

    def lower(self, depth: int) -> list[nn.Module]:
        """What lies below the block of that number: the first parts to be held fast."""
        return [self.words, self.places, self.segments, self.norm, *self.blocks[:depth]]

    def masked_head(self) -> MaskedHead:
        """A new head that says which token stood where one is hidden."""
        return MaskedHead(self.config, len(self.words.weight))


class Block(nn.Module):
    """LayerNorm(x + Attention(x)), then LayerNorm(x + FeedForward(x))."""

    def __init__(self, config: Bert.Config) -> None:
        super().__init__()
        self.attention = Attention(Shape(width=config.width, heads=config.heads, dropout=config.attention_dropout))
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.feed = FeedForward(config.width, config.feed, activation=config.activation)
        self.feed_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D), (B, 1, 1, T) which tokens may be seen -> (B, T, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask)))
        return self.feed_norm(x + self.dropout(self.feed(x)))


class MaskedHead(nn.Module):
    """LayerNorm(f(Wx + b)) against the table of tokens, with a bias for each token (Devlin et al. 2019, task 1)."""

    def __init__(self, config: Bert.Config, rows: int) -> None:
        super().__init__()
        self.function, self.dense = FUNCTIONS[config.activation], nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(rows))
        self.apply(begin)

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """(N, D) states, (V, D) the table of tokens -> (N, V) logits."""
        return F.linear(self.norm(self.function(self.dense(states))), words, self.bias)


def present(tokens: Tensor) -> Tensor:
    """(B, T) which tokens are there; an empty text is read as its first padding."""
    return (tokens > 0) | (torch.arange(tokens.shape[1], device=tokens.device) == 0)


def reopened(text: Tensor, opens: int, by: int) -> Tensor:
    """(B, T) a later text of a row: the token that opens it gives way to the one between two texts, or to nothing (0)."""
    return torch.where(text == opens, by, text)


@torch.no_grad()
def begin(module: nn.Module) -> None:
    """N(0, 0.02²) for matrices, 0 for biases and the padding's vector."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
