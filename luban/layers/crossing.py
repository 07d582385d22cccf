"""Blocks of an encoder and of a decoder that asks what the encoder read, and that memory.

B sources, R rows of answers (a multiple of B), S tokens of a source, T of an answer, D width, H heads, E width of a head, F hidden width.
Vaswani et al. 2017, fig. 1: post-norm, norm(x + f(x)); pre-norm: x + f(norm(x)), Xiong et al. 2020, fig. 1b.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from luban.layers.attention import Asked, Attention, Shape
from luban.layers.cache import Reading
from luban.layers.feed_forward import FeedForward, Nonlinearity
from luban.layers.norms import Norm, norm
from luban.layers.rotary import Turn

Step = tuple[Reading, int]


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
    """(B, S) which tokens are there -> (B, 1, 1, S), or None where all are."""
    return None if bool(known.all()) else known[:, None, None]


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
        self.dropout = nn.Dropout(parts.dropout)

    @property
    def looks(self) -> list[Attention]:
        """Its attention layers."""
        return [self.attention, self.cross] if self.causal else [self.attention]

    def forward(
        self, x: Tensor, mask: Tensor | None, turned: Turn | None, memory: tuple[Memory, int] | None = None, step: Step | None = None
    ) -> Tensor:
        """(R, T, D) -> (R, T, D).

        mask: of the attention to itself; without one a block that crosses is causal. memory, step: with this block's number.
        """
        read = self.attention_norm(x) if self.pre_norm else x
        causal = self.causal and mask is None
        x = self.add(x, self.attention(read, mask=mask, causal=causal, turn=turned, reading=step), self.attention_norm)
        if memory is not None:
            x = self.add(x, self.look(self.cross_norm(x) if self.pre_norm else x, *memory), self.cross_norm)
        return self.add(x, self.feed(self.feed_norm(x) if self.pre_norm else x), self.feed_norm)

    def add(self, x: Tensor, found: Tensor, normed: nn.Module) -> Tensor:
        """x + found, normed where the norm comes after."""
        x = x + self.dropout(found)
        return x if self.pre_norm else normed(x)

    def look(self, x: Tensor, memory: Memory, number: int) -> Tensor:
        """Attention to the source; the answers to one source ask together, so that its keys are never copied."""
        k, v = memory.asked[number]
        together = x.reshape(len(k), -1, x.shape[-1])  # (B, R/B · T, D)
        return self.cross(together, mask=memory.mask, over=(k, v)).view(x.shape)
