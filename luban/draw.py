"""Randomness computed, never stored: a pure function of (seed, epoch, example, name, place).

Workers, ranks, batch size, padding and resume cannot change it, so no generator state is ever saved.
The mixer is splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luban.columns import Array, Ragged

MASK = 2**64 - 1
PLACE = np.uint64(0xD1342543DE82EF95)
PIECE = 1 << 20  # places looked at together


def mix(x: Array) -> Array:
    """splitmix64's finaliser on an array of uint64."""
    with np.errstate(over="ignore"):
        x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def key_of(*parts: int | str) -> int:
    """The same mixing over plain integers and words, for keys: 0 … 2⁶⁴ - 1."""
    key = 0
    for part in parts:
        for word in words(part):
            x = ((key ^ word) + 0x9E3779B97F4A7C15) & MASK
            x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
            x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
            key = x ^ x >> 31
    return key


def sampled(count: int, share: float, key: int) -> Array:
    """(n,) int64 rising: about that share of so many places, each chosen by its own key; a piece at a time."""
    found = [np.zeros(0, np.int64)]
    for start in range(0, count, PIECE):
        places = np.arange(start, min(start + PIECE, count))
        found.append(places[mix(places.astype(np.uint64) ^ np.uint64(key)) < np.uint64(share * (2**64 - 1))])
    return np.concatenate(found)


def words(part: int | str) -> list[int]:
    """An integer, or the bytes of a name, as 64-bit words."""
    if isinstance(part, int):
        return [part & MASK]
    data = part.encode()
    return [len(data), *(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))]


@dataclass(frozen=True)
class Draw:
    """Draws for the examples of one batch; `training` is the only switch between augmented and plain."""

    seed: int
    epoch: int
    example: Array  # (B,) int64, the example's index in its split
    training: bool  # False: the same noise at every epoch, no augmentation
    scope: str = ""  # the column the draws are for

    def within(self, scope: str) -> Draw:
        """The same draws under another name, one per column."""
        return Draw(self.seed, self.epoch, self.example, self.training, f"{self.scope}/{scope}")

    def base(self, name: str) -> Array:
        """(B,) one key per example."""
        key = key_of(self.seed, self.epoch if self.training else -1, self.scope, name)
        return mix(np.asarray(self.example).astype(np.uint64) ^ np.uint64(key))

    def bits(self, name: str, *shape: int) -> Array:
        """(B, *shape) uint64."""
        count = int(np.prod(shape, dtype=np.int64))
        with np.errstate(over="ignore"):
            places = np.arange(count, dtype=np.uint64) * PLACE
            return mix(self.base(name)[:, None] + places).reshape(len(self.example), *shape)

    def along(self, ragged: Ragged, name: str, high: int) -> Ragged:
        """Integers below `high`, one per element of each span, keyed by its place: padding and neighbours can't move them."""
        owner, within = ragged.places()
        with np.errstate(over="ignore"):
            bits = mix(self.base(name)[owner] + within.astype(np.uint64) * PLACE)
        return Ragged.of((bits % np.uint64(high)).astype(np.int64), ragged.lengths)

    def uniform(self, name: str, *shape: int) -> Array:
        """(B, *shape) float32 in (0, 1)."""
        return ((self.bits(name, *shape) >> np.uint64(40)).astype(np.float32) + np.float32(0.5)) / np.float32(2**24)

    def integers(self, name: str, high: int, *shape: int) -> Array:
        """(B, *shape) int64 in 0 … high - 1."""
        return (self.bits(name, *shape) % np.uint64(high)).astype(np.int64)

    def normal(self, name: str, *shape: int) -> Array:
        """(B, *shape) float32, standard normal (Box and Muller 1958)."""
        radius = np.sqrt(-2 * np.log(self.uniform(f"{name}.radius", *shape)))
        return (radius * np.cos(2 * np.pi * self.uniform(f"{name}.angle", *shape))).astype(np.float32)
