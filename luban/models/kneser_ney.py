"""kneser_ney: counts of n-grams, smoothed; the baseline every language model has to beat.

B batch, T tokens, V tokens known, N order. Interpolated modified Kneser-Ney: Chen and Goodman 1998, eq. 26 and 27 (discounts by count),
lower orders by the number of different tokens that precede (Kneser and Ney 1995). Solved, never stepped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.draw import mix

if TYPE_CHECKING:
    from luban.roles import CausalBatch

ROLE, TAKES = "causal", ("text",)
SIZES = {"tiny": {"order": 3}, "small": {"order": 5}, "base": {"order": 6}}
UNKNOWN = -1  # what came before is not seen
NOTHING = np.iinfo(np.int64).max  # fills the tables
FACTOR = np.uint64(0x9E3779B97F4A7C15)


class KneserNey(nn.Module):
    """For each context of up to N - 1 tokens: what it leaves to shorter ones, and the discounted shares of what followed it."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Length and room."""

        order: Annotated[int, Gt(1), Le(12)] = 5
        """N, length of the longest n-grams."""
        entries: Annotated[int, Ge(1024), Le(2**26)] = 2**20
        """n-grams kept at most, 28 bytes each; those seen least go first."""
        context: Annotated[int, Gt(0), Le(1_048_576)] = 256
        """Tokens of a row of text; what lies before it is not seen."""

    contexts: Tensor  # (C,) int64 sorted keys
    starts: Tensor  # (C + 1,) int64 where a context's n-grams begin
    rest: Tensor  # (C,) share left to the shorter context
    tokens: Tensor  # (C,) int32 what followed
    shares: Tensor  # (C,) its discounted share

    def __init__(self, config: KneserNey.Config, num_tokens: int, corpus: int = 0) -> None:
        super().__init__()
        self.config, self.num_tokens, self.context = config, num_tokens, config.context
        room = max(1024, min(config.entries, corpus * config.order)) if corpus else config.entries
        self.register_buffer("contexts", torch.full((room,), NOTHING))
        self.register_buffer("starts", torch.zeros(room + 1, dtype=torch.int64))
        self.register_buffer("rest", torch.ones(room))
        self.register_buffer("tokens", torch.zeros(room, dtype=torch.int32))
        self.register_buffer("shares", torch.zeros(room))

    def hidden(
        self, tokens: Tensor, *, segments: Tensor | None = None, cache: Any = None, first: int = 0, there: Tensor | None = None
    ) -> Tensor:
        """(B, T) -> (B, T, N - 1) the tokens each place knows, the latest last, UNKNOWN where there are none."""
        reach, steps = self.config.order - 1, tokens.shape[1]
        if cache is not None:
            found = cache.read(tokens, first, reach)
            return found if there is None else found[there][None]
        before = torch.arange(steps)[:, None] + torch.arange(1 - reach, 1)  # (T, N - 1) places
        known = tokens[:, before.clamp(min=0).to(tokens.device)]  # (B, T, N - 1)
        seen = (before >= 0).to(tokens.device)
        if segments is not None:
            seen = seen & (segments[:, before.clamp(min=0)] == segments[..., None])
        return known.where(seen, UNKNOWN)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., N - 1) -> (..., V) logarithms of the chances."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        chance = torch.full((len(rows), self.num_tokens), 1 / self.num_tokens, device=rows.device)
        for length in range(self.config.order):
            self.refine(chance, rows, length)
        return chance.clamp(min=1e-30).log().view(*hidden.shape[:-1], -1)

    forward = logits

    def refine(self, chance: Tensor, rows: Tensor, length: int) -> None:
        """p ← rest · p + share, for the rows whose last `length` tokens were met in training (eq. 26), in place."""
        keys, whole = keys_of(rows.cpu().numpy(), length)
        table = self.contexts.cpu().numpy()
        place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
        met = np.flatnonzero(whole & (table[place] == keys))
        if not len(met):
            return
        context = torch.from_numpy(place[met])
        begin, count = self.starts[context], self.starts[context + 1] - self.starts[context]
        chance[torch.from_numpy(met)] *= self.rest[context, None].to(chance)
        owner = torch.repeat_interleave(torch.from_numpy(met), count)
        offset = torch.arange(len(owner)) - torch.repeat_interleave(count.cumsum(0) - count, count)
        entry = torch.repeat_interleave(begin, count) + offset
        chance[owner, self.tokens[entry].long()] += self.shares[entry].to(chance)  # each pair once: nothing is lost

    def cache(self, slots: int, capacity: int) -> Read:
        """The tokens themselves are all that is kept."""
        return Read(slots, capacity)

    def weigh(self, batch: CausalBatch) -> tuple[float, float]:
        """Bytes held by the tables, and by each row while it is counted."""
        return self.contexts.numel() * 60.0, batch.tokens.shape[1] * (self.config.order * 8 + 120.0)

    def solve(self, batches: Iterable[CausalBatch]) -> Iterator[float]:
        """Count, discount, and keep what there is room for."""
        contexts, targets = gathered(self, batches)
        yield 0.2
        found = []
        for length in reversed(range(self.config.order)):
            found.append(grams(contexts, targets, length, longest=length == self.config.order - 1))
            yield 0.2 + 0.7 * len(found) / self.config.order
        self.fill(found)
        yield 1.0

    def fill(self, found: list[Grams]) -> None:
        """The tables, the least seen of the longest n-grams left out where they are too many."""
        room = len(self.tokens)
        order = np.concatenate([np.lexsort((-part.count,)) for part in reversed(found)])
        number = np.concatenate([np.full(len(part.count), place) for place, part in enumerate(reversed(found))])
        allowed = np.zeros(len(found), np.int64)
        for place in range(len(found)):  # short ones first
            allowed[place] = min(int((number == place).sum()), room - int(allowed.sum()))
        kept = [order[number == place][: allowed[place]] for place in range(len(found))]
        parts = [part.take(rows) for part, rows in zip(reversed(found), kept)]
        key, token, share = (np.concatenate([getattr(part, name) for part in parts]) for name in ("key", "token", "share"))
        sort = np.lexsort((token, key))
        key, token, share = key[sort], token[sort], share[sort]
        contexts, begins = np.unique(key, return_index=True)
        held = len(contexts)
        self.contexts[:held] = torch.from_numpy(contexts)
        self.starts[:held] = torch.from_numpy(begins)
        self.starts[held:] = len(key)
        self.rest[:held] = torch.from_numpy(1 - np.add.reduceat(share, begins)).clamp(min=1e-6).float()
        self.tokens[: len(token)] = torch.from_numpy(token)
        self.shares[: len(share)] = torch.from_numpy(share).float()


@dataclass(frozen=True)
class Grams:
    """n-grams of one length: key of the context, what followed, how often, its discounted share."""

    key: np.ndarray
    token: np.ndarray
    count: np.ndarray
    share: np.ndarray

    def take(self, rows: np.ndarray) -> Grams:
        """Some of them."""
        return Grams(self.key[rows], self.token[rows], self.count[rows], self.share[rows])


class Read:
    """The tokens that each slot has read: the cache of a model of counts."""

    def __init__(self, slots: int, capacity: int) -> None:
        self.tokens = torch.full((slots, capacity), UNKNOWN)
        self.lengths = torch.zeros(slots, dtype=torch.int64)
        self.capacity, self.slots = capacity, slots

    def read(self, tokens: Tensor, first: int, reach: int) -> Tensor:
        """Write (A, T) new tokens behind those of the slots; (A, T, reach) what each place knows."""
        rows = torch.arange(first, first + len(tokens))[:, None]
        places = self.lengths[rows] + torch.arange(tokens.shape[1])  # (A, T)
        self.tokens[rows, places] = tokens.cpu()
        before = places[..., None] + torch.arange(1 - reach, 1)
        return self.tokens[rows[..., None], before.clamp(min=0)].where(before >= 0, UNKNOWN)

    def move(self, source: int, target: int, length: int | None = None) -> None:
        """Copy a slot's first tokens over another's."""
        self.tokens[target] = self.tokens[source]
        self.lengths[target] = self.lengths[source] if length is None else length

    def reorder(self, rows: Tensor) -> None:
        """Slot i goes on with what slot rows[i] held."""
        self.tokens[: len(rows)], self.lengths[: len(rows)] = self.tokens[rows], self.lengths[rows]

    def clear(self, slot: int) -> None:
        """Forget a sequence."""
        self.lengths[slot] = 0


def gathered(net: KneserNey, batches: Iterable[CausalBatch]) -> tuple[np.ndarray, np.ndarray]:
    """(M, N - 1) contexts and (M,) what followed, of all targets."""
    contexts, targets = [], []
    for batch in batches:
        known = batch.targets >= 0
        contexts.append(net.hidden(batch.tokens, segments=batch.segments)[known].numpy().astype(np.int32))
        targets.append(batch.targets[known].numpy().astype(np.int32))
    return np.concatenate(contexts), np.concatenate(targets)


def keys_of(contexts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(M,) int64 key of each context's last `length` tokens, and whether all of them are known."""
    last = contexts[:, contexts.shape[1] - length :]
    key = np.full(len(last), length + 1, np.uint64)
    for column in last.T:
        key = mix(key ^ (column.astype(np.int64).astype(np.uint64) + np.uint64(1)) * FACTOR)
    return key.view(np.int64) // 2, (last != UNKNOWN).all(1)


def grams(contexts: np.ndarray, targets: np.ndarray, length: int, *, longest: bool) -> Grams:
    """Distinct n-grams with a context of `length` tokens; their counts, or for shorter ones how many different tokens precede them."""
    key, whole = keys_of(contexts, length)
    key, token = key[whole], targets[whole]
    with np.errstate(over="ignore"):
        gram = mix(key.view(np.uint64) ^ (token.astype(np.uint64) + np.uint64(1)) * FACTOR)
        before = None if longest else contexts[whole, contexts.shape[1] - length - 1].astype(np.int64).astype(np.uint64)
        if before is not None:
            _, kept = np.unique(mix(gram ^ (before + np.uint64(2)) * FACTOR), return_index=True)
            key, token, gram = key[kept], token[kept], gram[kept]
    _, first, count = np.unique(gram, return_index=True, return_counts=True)
    key, token = key[first], token[first]
    _, owner = np.unique(key, return_inverse=True)
    total = np.bincount(owner, weights=count)
    return Grams(key, token, count, (count - discounts(count)[np.minimum(count, 3)]) / total[owner])


def discounts(count: np.ndarray) -> np.ndarray:
    """(4,) what is taken from counts of 0, 1, 2, and 3 or more (eq. 26)."""
    n = np.bincount(np.minimum(count, 5), minlength=6).astype(np.float64)
    y = n[1] / max(1.0, n[1] + 2 * n[2])
    found = [0.0] + [k - (k + 1) * y * n[k + 1] / n[k] if n[k] else 0.5 for k in (1, 2, 3)]
    return np.clip(found, [0, 0.1, 0.1, 0.1], [0, 0.95, 1.9, 2.9])
