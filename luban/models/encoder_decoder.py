"""encoder_decoder: reads a source whole and says an answer token by token, wide enough to be Marian, T5 and T5 1.1.

B sources, R rows of answers (a multiple of B), S tokens of a source, T of an answer, D width, H heads, E width of a head, F hidden width, V tokens known.
Vaswani et al. 2017, fig. 1: post-norm, norm(x + f(x)); pre-norm: x + f(norm(x)), Xiong et al. 2020; Marian: Junczys-Dowmunt et al. 2018; T5: Raffel et al. 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.attention import Asked, Shape, recorded
from luban.layers.cache import Cache, Reading
from luban.layers.crossing import Block, Memory, Parts, alike, mask_of, together
from luban.layers.dense import Share, Width
from luban.layers.dropout import Dropout
from luban.layers.feed_forward import Nonlinearity, begin_at_zero, hidden_of
from luban.layers.norms import Norm, norm
from luban.layers.positions import RelativeBias, sinusoids
from luban.layers.rotary import Turn, frequencies, turn
from luban.messages import tr

ROLE, TAKES = "seq2seq", ("text",)
SIZES = {
    "tiny": {"width": 64, "layers": 2, "heads": 2, "context": 64},
    "small": {"width": 192, "layers": 3, "heads": 6, "context": 256},
    "base": {"width": 384, "layers": 6, "heads": 6, "context": 256},
}
Layers = Annotated[int, Gt(0), Le(512)]
Heads = Annotated[int, Gt(0), Le(1024)]
Given = Annotated[int, Ge(0), Le(1_048_576)]


class EncoderDecoder(nn.Module):
    """Token vectors of both sides, blocks that read the source, blocks that say the answer, and the chance of each token to follow."""

    learning_rate = 2e-3
    weight_decay = 0.1

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Width, depth, and which of the family's parts; the defaults are what small budgets learn best with."""

        width: Width = 192
        """D, width of a token's vector."""
        layers: Layers = 3
        """Blocks that read the source."""
        decoder_layers: Given = 0
        """Blocks that say the answer; 0 = as many. Fewer make generation lighter (Kasai et al. 2021)."""
        heads: Heads = 6
        """H, attention heads; they divide the width unless head_dim is given."""
        head_dim: Given = 0
        """E; 0 = the width over the heads."""
        hidden: Given = 0
        """F, width of the feed-forward layers; 0 = 4 widths, 8/3 of gated ones."""
        context: Annotated[int, Gt(0), Le(1_048_576)] = 256
        """Tokens of a source at most, and of an answer."""
        positions: Literal["rotary", "sinusoidal", "learned", "relative"] = "rotary"
        """`rotary` turns queries and keys; `sinusoidal` and `learned` add a vector for each place; `relative` adds to the scores by distance, as T5 does."""
        buckets: Annotated[int, Ge(4), Le(65_536)] = 32
        """Of relative positions; half of them for the tokens behind."""
        distance: Annotated[int, Gt(1), Le(1_048_576)] = 128
        """From this distance on all tokens share a bucket of relative positions; above half of the buckets."""
        norm: Norm = "rms"
        """`rms` divides by the root mean square; `layer` removes the mean as well."""
        norm_eps: Annotated[float, Gt(0)] = 1e-6
        """Added inside the norms' root."""
        pre_norm: bool = True
        """Norm what a sublayer reads, and the ends of both halves; else the sum after each sublayer, as Vaswani et al. had it."""
        activation: Nonlinearity = "relu2"
        """Of the feed-forward layers; `swiglu` and `geglu` are gated by a third matrix."""
        bias: bool = False
        """Whether attention and feed-forward have biases."""
        qk_norm: bool = True
        """Norm each head's queries and keys: steadier at high learning rates."""
        scaled_scores: bool = True
        """Divide the attention's scores by √E."""
        scaled_vectors: bool = False
        """Multiply token vectors by √D (section 3.4): they then hold their own against sinusoidal positions."""
        tied: bool = True
        """The head is the table of token vectors."""
        scaled_head: bool = False
        """Divide what the head reads by √D, as T5 does with a tied one."""
        head_bias: bool = False
        """Whether the head has a bias."""
        zero_init: bool = True
        """Projections back to the stream begin at 0; pre-norm only."""
        dropout: Share = 0.0
        """Share of values dropped from the token vectors and after each sublayer."""

        def __post_init__(self) -> None:
            """Raises RecipeError L118 for heads that do not divide, ValueError for a head that cannot be turned or buckets without room."""
            if self.positions == "rotary" and self.attention.size % 2:
                raise ValueError(tr("rotary positions need heads of an even width, not {n}", n=self.attention.size))
            if self.positions == "relative" and self.distance <= self.buckets // 2:
                raise ValueError(tr("distance must be above half of the buckets, not {n}", n=self.distance))

        @property
        def attention(self) -> Shape:
            """What each attention layer is made of."""
            return Shape(
                width=self.width,
                heads=self.heads,
                head_dim=self.head_dim,
                bias=self.bias,
                out_bias=self.bias,
                qk_norm="rms" if self.qk_norm else None,
                norm_eps=self.norm_eps,
                scaled=self.scaled_scores,
            )

        @property
        def parts(self) -> Parts:
            """What each block is made of."""
            return Parts(
                attention=self.attention,
                norm=self.norm,
                norm_eps=self.norm_eps,
                pre_norm=self.pre_norm,
                hidden=self.hidden or hidden_of(self.width, self.activation),
                activation=self.activation,
                dropout=self.dropout,
            )

        @property
        def decoder_depth(self) -> int:
            """Blocks that say the answer."""
            return self.decoder_layers or self.layers

    def __init__(self, config: EncoderDecoder.Config, num_tokens: int, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        self.embed = nn.Embedding(num_tokens, config.width)
        self.places = nn.Embedding(config.context, config.width) if config.positions == "learned" else None
        self.encoder = nn.ModuleList(Block(config.parts, crosses=False) for _ in range(config.layers))
        self.decoder = nn.ModuleList(Block(config.parts, crosses=True) for _ in range(config.decoder_depth))
        far = config.heads, config.buckets, config.distance
        self.encoder_bias = RelativeBias(*far, both_ways=True) if config.positions == "relative" else None
        self.decoder_bias = RelativeBias(*far, both_ways=False) if config.positions == "relative" else None
        last = config.norm, config.width, config.norm_eps
        self.encoder_norm, self.decoder_norm = (norm(*last) if config.pre_norm else None for _ in range(2))
        self.head = None if config.tied else nn.Linear(config.width, num_tokens, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(num_tokens)) if config.head_bias else None
        self.dropout = Dropout(config.dropout)
        self.initialise()

    @property
    def context(self) -> int:
        """Tokens of a source, and of an answer, at most."""
        return self.config.context

    @property
    def blocks(self) -> nn.ModuleList:
        """Those that can be frozen from below: the ones that read the source."""
        return self.encoder

    def lower(self, depth: int) -> list[nn.Module]:
        """The tables, which both sides share, and the first blocks that read the source."""
        tables = [self.embed, self.places, self.encoder_bias]
        return [table for table in tables if table is not None] + list(self.encoder[:depth])

    @torch.no_grad()
    def initialise(self) -> None:
        """Normal of deviation 0.02; projections back to the stream at 0, or smaller with depth; a factor of √D or √E is taken out of the first weights."""
        config = self.config
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if config.scaled_vectors or config.scaled_head:
            nn.init.normal_(self.embed.weight, std=config.width**-0.5 if config.scaled_vectors else 1.0)
        for block in (*self.encoder, *self.decoder):
            back: list[nn.Linear] = [layer.out for layer in block.looks] + [block.feed.down]  # type: ignore[union-attr,operator]
            if config.zero_init and config.pre_norm:
                begin_at_zero(*back)
            else:
                for layer in back:
                    layer.weight.div_((2 * config.layers) ** 0.5)
            if not config.scaled_scores:
                for layer in block.looks:  # type: ignore[union-attr]
                    nn.init.normal_(layer.query.weight, std=(config.width * config.attention.size) ** -0.5)  # type: ignore[arg-type]

    def forward(self, source: Tensor, known: Tensor, tokens: Tensor) -> Tensor:
        """(B, S) tokens, (B, S) which are there, (B, T) answers -> (B, T, V) logits of what follows each token."""
        return self.logits(self.hidden(tokens, self.encode(source, known)))

    def encode(self, source: Tensor, known: Tensor) -> Memory:
        """(B, S) tokens and (B, S) which of them are there -> what the decoder's blocks attend to.

        Where nothing is learnt, sources of unlike lengths are read apart, so that little is spent on padding.
        """
        known = known | (torch.arange(source.shape[1], device=source.device) == 0)  # an empty source attends to its first padding
        groups = [] if torch.is_grad_enabled() else alike(known)
        if len(groups) <= 1:
            return Memory(self.read(source, known), known, mask_of(known))
        parts = [self.read(source[rows, :longest], known[rows, :longest]) for rows, longest in groups]
        return Memory(together(parts, groups, source.shape), known, mask_of(known))

    def read(self, source: Tensor, known: Tensor) -> list[Asked]:
        """(B, S) tokens and (B, S) which are there -> keys and values of each block of the decoder, (B, H, S, E)."""
        mask = mask_of(known)  # (B, 1, 1, S)
        places = torch.arange(source.shape[1], device=source.device)[None]  # (1, S)
        x = self.vectors(source, places)
        turned = self.turn(places, x)
        added = mask
        if self.encoder_bias is not None:
            added = self.encoder_bias(places, source.shape[1]).to(x.dtype)  # (1, H, S, S)
            added = added if mask is None else added.masked_fill(~mask, -torch.inf)
        for block in self.encoder:
            x = block(x, added, turned)
        x = x if self.encoder_norm is None else self.dropout(self.encoder_norm(x))
        return [block.cross.asked(x) for block in self.decoder]  # type: ignore[union-attr,operator]

    def hidden(self, tokens: Tensor, memory: Memory, *, cache: Cache | None = None) -> Tensor:
        """(R, T) tokens of answers -> (R, T, D), what the head reads; R/B rows after one another answer one source.

        cache: the tokens go on from what the first R slots hold, and are kept; the caller then moves `cache.lengths` on.
        """
        steps, reading = tokens.shape[1], None
        if cache is None:
            places = torch.arange(steps, device=tokens.device)[None]  # (1, T)
        else:
            reading = Reading(cache, 0, len(tokens), steps)
            places = reading.places
        x = self.vectors(tokens, places)
        turned = self.turn(places, x)
        added = None if self.decoder_bias is None else self.decoder_bias(places, steps if reading is None else reading.end).to(x.dtype)
        for number, block in enumerate(self.decoder):
            x = block(x, added, turned, (memory.asked[number], memory.mask), None if reading is None else (reading, number))
        return x if self.decoder_norm is None else self.dropout(self.decoder_norm(x))

    def vectors(self, tokens: Tensor, places: Tensor) -> Tensor:
        """(B, T) tokens and (B or 1, T) their places -> (B, T, D)."""
        x = self.embed(tokens)
        x = x * math.sqrt(self.config.width) if self.config.scaled_vectors else x
        if self.config.positions == "sinusoidal":
            x = x + sinusoids(self.context, self.config.width, x.device)[places].to(x.dtype)
        return self.dropout(x if self.places is None else x + self.places(places))

    def turn(self, places: Tensor, x: Tensor) -> Turn | None:
        """The angles of rotary positions."""
        if self.config.positions != "rotary":
            return None
        return turn(places, frequencies(self.config.attention.size, 10_000.0, None, x.device), x.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        hidden = hidden * self.config.width**-0.5 if self.config.scaled_head else hidden
        if self.head is None:
            return F.linear(hidden, self.embed.weight, self.head_bias)
        return self.head(hidden) if self.head_bias is None else self.head(hidden) + self.head_bias

    def cache(self, slots: int, capacity: int) -> Cache:
        """Room for so many answers of so many tokens."""
        shape = self.config.attention
        return Cache(self.config.decoder_depth, slots, shape.num_kv_heads, capacity, shape.size, like=self.embed.weight)

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor:
        """(B, T, S) mean over the heads of the last block but one, which aligns best (Garg et al. 2019, section 4.2)."""
        with recorded(self) as maps:
            self.hidden(tokens, memory)
        return maps[1::2][-2:][0].mean(1)  # each block looks at the answer, then at the source
