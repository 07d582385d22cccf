"""lstm_attention: an LSTM reads a source both ways, another says the answer and looks at the source before each token.

B sources, R rows of answers (a multiple of B), S tokens of a source, T of an answer, W width of a token's vector, H width of a state, A width of the look,
C = 2H width of what was read, V tokens known. Bahdanau et al. 2015, section 3 and appendix A.2, with LSTM cells (Hochreiter and Schmidhuber 1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.dense import Count, Share, Width
from luban.layers.dropout import Dropout
from luban.layers.recurrent import backwards, both_ways, cell, recurrent

ROLE, TAKES = "seq2seq", ("text",)
SIZES = {
    "tiny": {"embedding": 32, "hidden": 32, "context": 64},
    "small": {"embedding": 128, "hidden": 128, "context": 256},
    "base": {"embedding": 256, "hidden": 256, "layers": 2, "context": 256},
}


class LstmAttention(nn.Module):
    """Embedding, LSTM both ways, additive attention over its steps, LSTM, words."""

    learning_rate = 3e-3

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths and depth."""

        embedding: Width = 128
        """W, width of a token's vector."""
        hidden: Width = 128
        """H, width of each state, of each direction."""
        look: Annotated[int, Gt(0), Le(65_536)] | None = None
        """A, width in which states of both sides are compared; left out, that of a state."""
        layers: Count = 1
        """Layers that read the source; one says the answer."""
        context: Annotated[int, Gt(0), Le(1_048_576)] = 256
        """Tokens of a source at most, and of an answer."""
        tied: bool = True
        """The head is the table of token vectors."""
        dropout: Share = 0.1
        """Share of values dropped from the token vectors, between layers and before the head."""

    def __init__(self, config: LstmAttention.Config, num_tokens: int, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.num_tokens = config, num_tokens
        width, read = config.hidden, 2 * config.hidden
        look = config.look or width
        self.embed = nn.Embedding(num_tokens, config.embedding)
        inward = [config.embedding, *[read] * (config.layers - 1)]
        self.layers = nn.ModuleList(nn.ModuleList(recurrent(size, width, 2) for _ in range(2)) for size in inward)
        self.first = nn.Linear(width, width)
        self.ask, self.answer = nn.Linear(width, look, bias=False), nn.Linear(read, look)
        self.score = nn.Linear(look, 1, bias=False)
        self.cell = cell(config.embedding + read, width)
        self.out = nn.Linear(width + read + config.embedding, config.embedding)
        self.head = None if config.tied else nn.Linear(config.embedding, num_tokens, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(num_tokens))
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.embed.weight, std=config.embedding**-0.5)

    @property
    def context(self) -> int:
        """Tokens of a source, and of an answer, at most."""
        return self.config.context

    def encode(self, source: Tensor, known: Tensor) -> Read:
        """(B, S) tokens and (B, S) which of them are there -> the states of each."""
        steps = torch.arange(source.shape[1], device=source.device)
        known = known | (steps == 0)  # an empty source is its first padding
        turned = backwards(known.sum(1), steps)  # (B, S)
        x = self.embed(source)
        for layer in self.layers:
            x = both_ways(self.dropout(x), layer, turned)  # (B, S, C)
        first = torch.tanh(self.first(x[:, 0, self.config.hidden :]))  # the way back ends at the first token
        return Read(x, self.answer(x), known, first)

    def hidden(self, tokens: Tensor, memory: Read, *, cache: States | None = None) -> Tensor:
        """(R, T) tokens of answers -> (R, T, W), what the head reads; R/B rows after one another answer one source.

        cache: the tokens go on from the states of the first R slots, which move on; the caller then moves `cache.lengths` on.
        """
        return self.steps(tokens, memory, cache)[0]

    def steps(self, tokens: Tensor, memory: Read, cache: States | None) -> tuple[Tensor, Tensor]:
        """(R, T, W) what the head reads, and (R, T, S) where each step looked."""
        rows = len(tokens)
        state, inner = self.begin(memory, rows, cache)
        said = self.dropout(self.embed(tokens))  # (R, T, W)
        seen, looks = [], []
        for step in range(tokens.shape[1]):
            look, context = self.look(state, memory)
            state, inner = self.cell(torch.cat([said[:, step], context], 1), (state, inner))
            seen.append(torch.cat([state, context], 1))
            looks.append(look)
        if cache is not None:
            cache.state[:rows], cache.inner[:rows] = state, inner
        found = torch.tanh(self.out(torch.cat([torch.stack(seen, 1), said], 2)))
        return self.dropout(found), torch.stack(looks, 1)

    def begin(self, memory: Read, rows: int, cache: States | None) -> tuple[Tensor, Tensor]:
        """(R, H) states and cells before the next token: those kept, or tanh of a map of the first token's (appendix A.2.2)."""
        first = memory.first.repeat_interleave(rows // len(memory.first), dim=0)
        if cache is None:
            return first, torch.zeros_like(first)
        new = (cache.lengths[:rows] == 0)[:, None].to(first.device)
        return torch.where(new, first, cache.state[:rows]), torch.where(new, 0.0, cache.inner[:rows])

    def look(self, state: Tensor, memory: Read) -> tuple[Tensor, Tensor]:
        """(R, H) -> (R, S) shares of the source, softmax of v·tanh(W s + U h), and (R, C) the mean of what was read by them (eq. 5 and 6)."""
        asked = self.ask(state).view(len(memory.known), -1, 1, memory.keys.shape[2])  # (B, R/B, 1, A)
        score = self.score(torch.tanh(asked + memory.keys[:, None]))[..., 0]  # (B, R/B, S)
        share = score.masked_fill(~memory.known[:, None], -torch.inf).softmax(-1)
        return share.flatten(0, 1), (share @ memory.states).flatten(0, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., W) -> (..., V)."""
        if self.head is None:
            return F.linear(hidden, self.embed.weight, self.head_bias)
        return self.head(hidden) + self.head_bias

    def cache(self, slots: int, capacity: int) -> States:
        """Room for so many answers; a state is as large after any number of tokens."""
        return States(slots, self.config.hidden, self.embed.weight)

    def attention(self, tokens: Tensor, memory: Read) -> Tensor:
        """(B, T, S) where each step looked before it said its token; rows sum to 1."""
        return self.steps(tokens, memory, None)[1]


@dataclass(frozen=True)
class Read:
    """Some sources as they were read."""

    states: Tensor  # (B, S, C)
    keys: Tensor  # (B, S, A) what the look compares
    known: Tensor  # (B, S) which tokens are there
    first: Tensor  # (B, H) the state that an answer begins with

    def reorder(self, rows: Tensor) -> Read:
        """Those of the sources at `rows` (A,), in that order."""
        return Read(self.states[rows], self.keys[rows], self.known[rows], self.first[rows])


class States:
    """The state of each answer, in slots."""

    def __init__(self, slots: int, width: int, like: Tensor) -> None:
        self.state, self.inner = (torch.zeros(slots, width, dtype=like.dtype, device=like.device) for _ in range(2))
        self.lengths = torch.zeros(slots, dtype=torch.int64)

    def move(self, source: int, target: int, length: int | None = None) -> None:
        """Go on in another slot; a state knows no shorter beginning of itself."""
        for kept in self.all:
            kept[target] = kept[source]

    def reorder(self, rows: Tensor) -> None:
        """Slot i goes on with what slot rows[i] held."""
        for kept in self.all:
            kept[: len(rows)] = kept[rows.to(kept.device)]

    def clear(self, slot: int) -> None:
        """Forget an answer."""
        self.lengths[slot] = 0

    @property
    def all(self) -> tuple[Any, ...]:
        """Everything that is kept of a slot."""
        return self.state, self.inner, self.lengths
