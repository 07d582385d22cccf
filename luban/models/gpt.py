"""gpt: a decoder that says what follows, wide enough to be GPT-2, Llama, Qwen2, Qwen3 or SmolLM2.

B batch, T tokens, D width, H heads, K heads of keys, E width of a head, F hidden width of the feed-forward layer, V tokens known.
Radford et al. 2019 (GPT-2); Touvron et al. 2023 (Llama); Yang et al. 2025 (Qwen3). Pre-norm: x + f(norm(x)), Xiong et al. 2020, fig. 1b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.attention import Attention, Shape
from luban.layers.cache import Cache, Reading
from luban.layers.dense import Share, Width
from luban.layers.dropout import Dropout
from luban.layers.feed_forward import FeedForward, Nonlinearity, begin_at_zero, hidden_of
from luban.layers.norms import Norm, norm
from luban.layers.rotary import Stretch, Turn, frequencies, turn
from luban.layers.value_embeddings import Reach, ValueEmbedding, layers_of
from luban.messages import tr

ROLE, TAKES = "causal", ("text",)
SIZES = {
    "tiny": {"width": 64, "layers": 2, "heads": 2, "context": 64},
    "mini": {"width": 128, "layers": 3, "heads": 4, "context": 256},
    "small": {"width": 192, "layers": 4, "heads": 6, "context": 256},
    "medium": {"width": 256, "layers": 6, "heads": 8, "context": 256},
    "base": {"width": 384, "layers": 6, "heads": 6, "context": 256},
    "large": {"width": 768, "layers": 12, "heads": 12, "context": 256},
}
MUON_RATE = 0.01  # at the width of `small`; wider matrices take smaller steps, so that what a step changes of their answers stays the same
Layers = Annotated[int, Gt(0), Le(512)]
Heads = Annotated[int, Gt(0), Le(1024)]
Given = Annotated[int, Ge(0), Le(1_048_576)]


class Gpt(nn.Module):
    """Token vectors, blocks of attention and feed-forward, a norm, and the chance of each token to follow."""

    learning_rate = 2e-3
    weight_decay = 0.1

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Width, depth, and which of the family's parts; the defaults are what small budgets learn best with."""

        width: Width = 192
        """D, width of a token's vector."""
        layers: Layers = 4
        """Blocks of attention and feed-forward."""
        heads: Heads = 6
        """H, attention heads; they divide the width unless head_dim is given."""
        kv_heads: Given = 0
        """K, heads of keys and values, which divide the heads; 0 = as many. Fewer make generation lighter."""
        head_dim: Given = 0
        """E; 0 = the width over the heads."""
        hidden: Given = 0
        """F, width of the feed-forward layer; 0 = 4 widths, 8/3 of gated ones."""
        context: Annotated[int, Gt(0), Le(1_048_576)] = 256
        """Tokens seen at once."""
        positions: Literal["rotary", "learned"] = "rotary"
        """`rotary` turns queries and keys; `learned` adds a vector for each place, as GPT-2 does."""
        rotary_base: Annotated[float, Gt(0)] = 10_000.0
        """The slowest pair turns once in about 2π times this many tokens."""
        rotary_stretch: Stretch | None = None
        """Llama 3.1's reach past the original context."""
        norm: Norm = "rms"
        """`rms` divides by the root mean square; `layer` removes the mean as well."""
        norm_eps: Annotated[float, Gt(0)] = 1e-6
        """Added inside the norms' root."""
        activation: Nonlinearity = "relu2"
        """Of the feed-forward layer; `swiglu` and `geglu` are gated by a third matrix."""
        bias: Literal["none", "qkv", "attention", "feed", "all"] = "none"
        """Which linear layers have biases: `qkv` as Qwen2, `all` as GPT-2."""
        qk_norm: bool = True
        """Norm each head's queries and keys: steadier at high learning rates."""
        tied: bool = False
        """The head is the table of token vectors: fewer weights, of large vocabularies many fewer, and a higher loss."""
        zero_init: bool = True
        """Projections back to the stream begin at 0."""
        value_embeddings: Reach = "none"
        """Layers whose values get a vector of each token's own: `all`, or every other one up to the last (`alternate`). Each such layer has a
        table of as many rows as there are tokens, which is little for characters. No other family's checkpoint can hold it, and in trainings of
        minutes it gains nothing that shows."""
        dropout: Share = 0.0
        """Share of values dropped from the token vectors and after each sublayer."""

        def __post_init__(self) -> None:
            """Raises RecipeError L118 for heads that do not divide, ValueError for a head that cannot be turned."""
            if self.positions == "rotary" and self.attention.size % 2:
                raise ValueError(tr("rotary positions need heads of an even width, not {n}", n=self.attention.size))

        @property
        def attention(self) -> Shape:
            """What each block's attention is made of."""
            return Shape(
                width=self.width,
                heads=self.heads,
                kv_heads=self.kv_heads,
                head_dim=self.head_dim,
                bias=self.bias in ("qkv", "attention", "all"),
                out_bias=self.bias in ("attention", "all"),
                qk_norm="rms" if self.qk_norm else None,
                norm_eps=self.norm_eps,
            )

    def __init__(self, config: Gpt.Config, num_tokens: int, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        self.muon_rate: float | None = MUON_RATE * (SIZES["small"]["width"] / config.width) ** 0.5
        self.embed = nn.Embedding(num_tokens, config.width)
        self.places = nn.Embedding(config.context, config.width) if config.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        shape, own = config.attention, layers_of(config.value_embeddings, config.layers)
        self.values = nn.ModuleDict({str(layer): ValueEmbedding(num_tokens, shape.num_kv_heads, shape.size) for layer in own})
        self.norm = norm(config.norm, config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, num_tokens, bias=False)
        self.dropout = Dropout(config.dropout)
        self.initialise()

    @property
    def context(self) -> int:
        """Tokens seen at once."""
        return self.config.context

    def lower(self, depth: int) -> list[nn.Module]:
        """The tables and the first blocks."""
        values = [table for layer, table in self.values.items() if int(layer) < depth]
        return [self.embed, *([] if self.places is None else [self.places]), *values, *self.blocks[:depth]]

    def initialise(self) -> None:
        """Normal of deviation 0.02; projections back to the stream at 0, or smaller with depth (Radford et al. 2019, section 2.3)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            back = (block.attention.out, block.feed.down)  # type: ignore[union-attr]
            if self.config.zero_init:
                begin_at_zero(*back)  # type: ignore[arg-type]
            else:
                for layer in back:
                    nn.init.normal_(layer.weight, std=0.02 / (2 * self.config.layers) ** 0.5)  # type: ignore[arg-type,union-attr]

    def forward(self, tokens: Tensor, *, segments: Tensor | None = None, cache: Cache | None = None, first: int = 0) -> Tensor:
        """(B, T) -> (B, T, V) logits of what follows each token; see `hidden`."""
        return self.logits(self.hidden(tokens, segments=segments, cache=cache, first=first))

    def hidden(
        self, tokens: Tensor, *, segments: Tensor | None = None, cache: Cache | None = None, first: int = 0, there: Tensor | None = None
    ) -> Tensor:
        """(B, T) -> (B, T, D), what the head reads.

        segments: (B, T) the document of each token; one document never sees another, and its places begin at 0.
        cache: the tokens go on from what the slots `first` … `first + B - 1` hold, and are kept; the caller then moves `cache.lengths` on.
        there: (B, T) bool, of tokens with a cache: the others are padding, and only these are computed, (1, N, D) row by row.
        """
        steps, reading, mask = tokens.shape[1], None, None
        if cache is not None:
            reading = Reading(cache, first, len(tokens), steps, there)
            tokens, places = reading.together(tokens), reading.together(reading.places)
        elif segments is not None and bool((segments[:, 1:] != segments[:, :-1]).any()):
            places, mask = apart(segments)
        else:
            places = torch.arange(steps, device=tokens.device)[None]  # (1, T)
        x = self.embed(tokens) if self.places is None else self.embed(tokens) + self.places(places)
        x, turned = self.dropout(x), self.turn(places, x)
        for number, block in enumerate(self.blocks):
            own = self.values[str(number)](tokens) if str(number) in self.values else None  # (B, T, K, E)
            x = block(x, mask, turned, None if reading is None else (reading, number), own)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return F.linear(hidden, self.embed.weight) if self.head is None else self.head(hidden)

    def turn(self, places: Tensor, x: Tensor) -> Turn | None:
        """The angles of rotary positions."""
        if self.places is not None:
            return None
        config = self.config
        return turn(places, frequencies(config.attention.size, config.rotary_base, config.rotary_stretch, x.device), x.dtype)

    def cache(self, slots: int, capacity: int) -> Cache:
        """Room for so many sequences of so many tokens."""
        shape = self.config.attention
        return Cache(self.config.layers, slots, shape.num_kv_heads, capacity, shape.size, like=self.embed.weight)


class Block(nn.Module):
    """x + Attention(norm(x)), then x + FeedForward(norm(x))."""

    def __init__(self, config: Gpt.Config) -> None:
        super().__init__()
        self.attention_norm = norm(config.norm, config.width, config.norm_eps)
        self.attention = Attention(config.attention)
        self.feed_norm = norm(config.norm, config.width, config.norm_eps)
        hidden = config.hidden or hidden_of(config.width, config.activation)
        self.feed = FeedForward(config.width, hidden, activation=config.activation, bias=config.bias in ("feed", "all"))
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, turned: Turn | None, reading: tuple[Reading, int] | None, own: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D). own: (B, T, K, E) is added to the values."""
        found = self.attention(self.attention_norm(x), mask=mask, causal=mask is None, turn=turned, reading=reading, own=own)
        x = x + self.dropout(found)
        return x + self.dropout(self.feed(self.feed_norm(x)))


def apart(segments: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) documents -> (B, T) places within each, and (B, 1, T, T) which tokens each may see."""
    steps = segments.shape[1]
    index = torch.arange(steps, device=segments.device)
    begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    start = torch.where(begins, index, 0).cummax(1).values  # (B, T) where the token's document begins
    mask = (start[:, :, None] <= index) & (index <= index[:, None])  # (B, T, T)
    return index - start, mask[:, None]
