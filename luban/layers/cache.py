"""Keys and values of tokens already read, in slots: each slot is one sequence at its own length.

S slots, A slots at work, K heads of keys, L capacity in tokens, E width of a head, T new tokens.
The first A slots work: a sequence that ends gives its place to the last one, so what a step reads is a view and never a copy.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


class Cache:
    """One tensor of keys and one of values for each layer, and how many tokens each slot holds."""

    def __init__(self, layers: int, slots: int, heads: int, capacity: int, head_dim: int, *, like: Tensor) -> None:
        def shape() -> Tensor:
            return blank((slots, heads, capacity, head_dim), like)

        self.keys = [shape() for _ in range(layers)]  # (S, K, L, E) each
        self.values = [shape() for _ in range(layers)]
        self.lengths = torch.zeros(slots, dtype=torch.int64)  # (S,), on the CPU: read at every step
        self.capacity = capacity

    @property
    def slots(self) -> int:
        """How many sequences it can hold."""
        return len(self.lengths)

    def move(self, source: int, target: int, length: int | None = None) -> None:
        """Copy a slot's first `length` tokens (all of them where left out) over another's: to fill a gap, or to share a beginning."""
        count = int(self.lengths[source]) if length is None else length
        for kept in (*self.keys, *self.values):
            kept[target, :, :count] = kept[source, :, :count]
        self.lengths[target] = count

    def reorder(self, rows: Tensor) -> None:
        """Slot i goes on with what slot rows[i] held: the beams that survive, of which many stay where they are. rows (A,)."""
        into = (rows != torch.arange(len(rows))).nonzero()[:, 0]
        if not len(into):
            return
        source, longest = rows[into], int(self.lengths[rows[into]].max())
        device = self.keys[0].device
        target, source = into.to(device), source.to(device)
        for kept in (*self.keys, *self.values):
            kept[target, :, :longest] = kept[source, :, :longest]
        self.lengths[into] = self.lengths[rows[into]]

    def clear(self, slot: int) -> None:
        """Forget a sequence."""
        self.lengths[slot] = 0


def blank(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros; on a CPU such pages as the system hands out when they are first written, so that room which is never used costs nothing."""
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    room = np.zeros(math.prod(shape) * like.element_size(), np.uint8)
    return torch.from_numpy(room).view(like.dtype).view(shape)


class Reading:
    """One forward pass over T new tokens of the slots `first` … `first + count - 1`: where they stand and what they may see.

    there: (A, T) bool, where slots have fewer new tokens than others: only the N that are there are computed, (1, N) of all slots in a row.
    """

    def __init__(self, cache: Cache, first: int, count: int, steps: int, there: Tensor | None = None) -> None:
        self.cache, self.first, self.count = cache, first, count
        before = cache.lengths[first : first + count]
        device = cache.keys[0].device
        self.end = int(before.max()) + steps  # of what is read
        self.places = (before[:, None] + torch.arange(steps)).to(device)  # (A, T)
        self.fresh = self.end == steps  # nothing was read before: plainly causal
        level = bool((before == before[0]).all())
        self.start = int(before[0]) if level else None  # all stand at one place
        self.mask: Tensor | None = None  # (A, 1, T, end) which keys each token sees; None = causal where fresh, else all
        if not self.fresh and not (level and steps == 1):
            self.mask = (torch.arange(self.end, device=device) <= self.places[..., None])[:, None]
        self.there = there
        if there is not None:
            self.rows = there.nonzero()[:, 0].to(device)  # (N,) the slot of each token, from the first on
            self.spread = (there.flatten().cumsum(0) - 1).clamp(min=0).view(there.shape).to(device)  # (A, T) which token stands there

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (A, K, T, E) of the new tokens; all that was read so far, (A, K, end, E)."""
        last = self.first + self.count
        for kept, new in ((self.cache.keys[layer], keys), (self.cache.values[layer], values)):
            if self.there is not None:
                kept[self.first + self.rows, :, self.places[self.there]] = new[0].transpose(0, 1)  # (N, K, E)
            elif self.start is not None:
                kept[self.first : last, :, self.start : self.end] = new
            else:
                rows = torch.arange(self.first, last, device=kept.device)[:, None]
                kept[rows, :, self.places] = new.transpose(1, 2)  # (A, T, K, E)
        return tuple(kept[self.first : last, :, : self.end] for kept in (self.cache.keys[layer], self.cache.values[layer]))  # type: ignore[return-value]

    def together(self, x: Tensor) -> Tensor:
        """(A, T, …) -> (1, N, …) those that are there; as it is, where all are."""
        return x if self.there is None else x[self.there][None]

    def apart(self, queries: Tensor) -> Tensor:
        """(1, H, N, E) -> (A, H, T, E) each beside the others of its slot; as it is, where all are there."""
        return queries if self.there is None else queries[0].transpose(0, 1)[self.spread].transpose(1, 2)
