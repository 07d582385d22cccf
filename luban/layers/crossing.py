"""Blocks of an encoder and of a decoder that asks what the encoder read, and that memory.

B sources, R rows of answers (a multiple of B), S tokens of a source, T of an answer, D width, H heads, E width of a head, F hidden width.
Vaswani et al. 2017, fig. 1: post-norm, norm(x + f(x)); pre-norm: x + f(norm(x)), Xiong et al. 2020, fig. 1b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luban.layers.attention import Asked, Attention, Shape
from luban.layers.cache import Reading
from luban.layers.dropout import Dropout
from luban.layers.feed_forward import FeedForward, Nonlinearity
from luban.layers.norms import Norm, norm
from luban.layers.rotary import Turn

Step = tuple[Reading, int]
Group = tuple[Tensor, int]  # rows, and the tokens of the longest
CELLS = 512  # tokens read together at least: a product of fewer rows is slower for each
ALIKE = 0.9  # lengths above this share of the longest are like it


@dataclass(frozen=True)
class Memory:
    """What a decoder's blocks ask of some sources."""

    asked: list[Asked]  # keys and values (B, H, S, E) of each block
    known: Tensor  # (B, S) which tokens are there
    mask: Tensor | None = None  # (B, 1, 1, S) the same; None = all are

    def reorder(self, rows: Tensor) -> Memory:
        """Those of the sources at `rows` (A,), in that order."""
        known = self.known[rows]
        return Memory([(k[rows], v[rows]) for k, v in self.asked], known, mask_of(known))


def mask_of(known: Tensor) -> Tensor | None:
    """(B, S) which tokens are there -> (B, 1, 1, S), or None where all are; in learning always a mask, so that one compiled program serves."""
    return None if not torch.is_grad_enabled() and bool(known.all()) else known[:, None, None]


def alike(known: Tensor) -> list[Group]:
    """(B, S) which tokens are there -> rows of like lengths, the longest first, with the longest of each: few enough that products stay large."""
    places = torch.arange(1, known.shape[1] + 1, device=known.device)
    lengths, rows = (known * places).amax(1).cpu().sort(descending=True, stable=True)
    sizes, found, start = lengths.tolist(), [], 0
    for end in range(1, len(sizes) + 1):
        over = end == len(sizes) or ((end - start) * sizes[start] >= CELLS and sizes[end] < ALIKE * sizes[start])
        if over:
            found.append((rows[start:end].to(known.device), sizes[start]))
            start = end
    return found


def together(parts: Sequence[list[Asked]], groups: Sequence[Group], shape: Sequence[int]) -> list[Asked]:
    """Keys and values of each group's rows, for each block -> those of all (B, S) sources, 0 where there is no token."""
    found = []
    for blocks in zip(*parts, strict=True):
        one = blocks[0][0]  # (b, H, s, E)
        pair = tuple(one.new_zeros(shape[0], one.shape[1], shape[1], one.shape[3]) for _ in range(2))
        for asked, (rows, longest) in zip(blocks, groups, strict=True):
            for kept, new in zip(pair, asked, strict=True):
                kept[rows, :, :longest] = new
        found.append(pair)
    return found  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a block is made of."""

    attention: Shape
    """Of each attention layer; the feed-forward layer has biases where it has."""
    norm: Norm
    """Before or after each sublayer."""
    norm_eps: float
    """Added inside the norms' root."""
    pre_norm: bool
    """Norm what a sublayer reads; else the sum after it."""
    hidden: int
    """F."""
    activation: Nonlinearity
    """Of the feed-forward layer."""
    dropout: float = 0.0
    """Share of values dropped after each sublayer."""


class Block(nn.Module):
    """Attention to itself, to the source where it crosses, and feed-forward; each is added to what came in."""

    def __init__(self, parts: Parts, *, crosses: bool) -> None:
        super().__init__()
        shape = parts.attention
        self.pre_norm, self.causal = parts.pre_norm, crosses
        self.attention_norm = norm(parts.norm, shape.width, parts.norm_eps)
        self.attention = Attention(shape)
        if crosses:
            self.cross_norm = norm(parts.norm, shape.width, parts.norm_eps)
            self.cross = Attention(shape)
        self.feed_norm = norm(parts.norm, shape.width, parts.norm_eps)
        self.feed = FeedForward(shape.width, parts.hidden, activation=parts.activation, bias=shape.bias)
        self.dropout = Dropout(parts.dropout)

    @property
    def looks(self) -> list[Attention]:
        """Its attention layers."""
        return [self.attention, self.cross] if self.causal else [self.attention]

    def forward(
        self, x: Tensor, mask: Tensor | None, turned: Turn | None, read: tuple[Asked, Tensor | None] | None = None, step: Step | None = None
    ) -> Tensor:
        """(R, T, D) -> (R, T, D).

        mask: of the attention to itself; without one a block that crosses is causal. read: what it asks of the source, and which tokens are
        there; step: with this block's number.
        """
        own = self.attention_norm(x) if self.pre_norm else x
        causal = self.causal and mask is None
        x = self.add(x, self.attention(own, mask=mask, causal=causal, turn=turned, reading=step), self.attention_norm)
        if read is not None:
            x = self.add(x, self.look(self.cross_norm(x) if self.pre_norm else x, *read), self.cross_norm)
        return self.add(x, self.feed(self.feed_norm(x) if self.pre_norm else x), self.feed_norm)

    def add(self, x: Tensor, found: Tensor, normed: nn.Module) -> Tensor:
        """x + found, normed where the norm comes after."""
        x = x + self.dropout(found)
        return x if self.pre_norm else normed(x)

    def look(self, x: Tensor, asked: Asked, mask: Tensor | None) -> Tensor:
        """Attention to the source; the answers to one source ask together, so that its keys are never copied."""
        together = x.reshape(len(asked[0]), -1, x.shape[-1])  # (B, R/B · T, D)
        return self.cross(together, mask=mask, over=asked).view(x.shape)
