"""The best items of every user, exactly, in blocks of items: memory does not grow with their number.

Scores are compared to 16 bits of their mantissa: what differs by less is a tie, and ties are broken by a keyed permutation of the items,
so that neither their names nor the size of a batch decide. B users, I items, K best.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from luban.data.sampler import permute
from luban.draw import key_of

CELLS = 1 << 21  # scores held at once: 8 MB, which an allocator gives again
SPARE = 28  # scores beyond those asked for, among which ties are broken
FEWEST = 512  # items of a block
GROUPED = 64  # times as many items as are looked for, from which they are looked for in groups
GROUP, OPEN = 16, 32  # items of a group that is looked at as one; groups of a user that may hold something better
TIED, TINY = 2**-14, 1e-37  # of a score, and of one near 0: more than what a tie leaves out
LOW, SIGN, NOISE = 0xFFFFFFFF, 0x7FFFFFFF, 0x80

Score = Callable[[int, int], Tensor]  # items from, to -> (B, to - from), asked for once and written over


@lru_cache(maxsize=4)
def places(num_items: int) -> tuple[Tensor, Tensor]:
    """(I,) the place of each item in the order that breaks ties, and the item at each place."""
    place = permute(np.arange(num_items), num_items, key_of("ties"))
    return torch.from_numpy(place), torch.from_numpy(np.argsort(place))


def keys(scores: Tensor, place: Tensor) -> Tensor:
    """(B, I) int64 that rise as the scores do, ties by place (I,)."""
    bits = scores.float().contiguous().view(torch.int32)
    bits = ((bits + NOISE) & ~0xFF).long()
    return (torch.where(bits >= 0, bits, bits ^ SIGN) << 32) | place


def best(
    score: Score, num_users: int, num_items: int, count: int, *, hidden: tuple[Tensor, Tensor], allowed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(B, K) items and scores, the best first; -1 and -inf where there are no more.

    `hidden` are pairs (user, item) never to be named, `allowed` (I,) the items that may be.
    """
    place, item_at = places(num_items)
    block = max(FEWEST, CELLS // max(1, num_users))
    found: tuple[Tensor, Tensor] | None = None
    for start in range(0, num_items, block):
        stop = min(start + block, num_items)
        scores = masked(score(start, stop), start, stop, hidden, allowed)
        better = None if found is None else among(scores, place[start:stop], found, count)
        if better is None:
            kept = likely(scores, place[start:stop], count)
            better = kept if found is None else first(torch.cat([found[0], kept[0]], 1), torch.cat([found[1], kept[1]], 1), count)
        found = better
    key, scores = found or (torch.zeros(num_users, 0, dtype=torch.int64), torch.zeros(num_users, 0))
    items, scores = widen(item_at[key & LOW], count, -1), widen(scores, count, -torch.inf)
    return torch.where(scores == -torch.inf, -1, items), scores


def among(scores: Tensor, place: Tensor, found: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor] | None:
    """(B, K) as `first`, of what was found and what of a block may stand among it; None where that may be much.

    Most groups of items hold nothing as good as the last of what was found: one look at their best says so.
    """
    least, groups = found[1][:, -1:], scores.shape[1] // GROUP
    if found[1].shape[1] < count or not groups or not len(scores) or not bool(least.isfinite().all()):
        return None
    even = groups * GROUP  # the rest stands by itself
    best_of = scores[:, :even].unflatten(1, (GROUP, groups)).amax(1)
    row, group = torch.nonzero(best_of >= least - least.abs() * TIED - TINY, as_tuple=True)
    many = torch.bincount(row, minlength=len(scores))
    most = int(many.max())
    if most > OPEN:
        return None
    open_ = torch.full((len(scores), most), -1)
    open_[row, torch.arange(len(row)) - (many.cumsum(0) - many)[row]] = group
    at = members(open_.clamp(min=0), groups, GROUP)
    values = scores.gather(1, at).masked_fill((open_ < 0).repeat(1, GROUP), -torch.inf)
    at = torch.cat([at, torch.arange(even, scores.shape[1]).expand(len(scores), -1)], 1)
    values = torch.cat([values, scores[:, even:]], 1)
    return first(torch.cat([found[0], keys(values, place[at])], 1), torch.cat([found[1], values], 1), count)


def likely(scores: Tensor, place: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B, K) as `first`, from the largest few of the scores alone, where no tie reaches beyond them."""
    few = count + SPARE
    if scores.shape[1] <= few:
        return first(keys(scores, place), scores, count)
    top, at = largest(scores, few)
    key, values = first(keys(top, place[at]), top, count)
    last = keys(top.amin(1, keepdim=True), place[:1])[:, 0] >> 32
    open_ = (key[:, -1] >> 32) == last
    if bool(open_.any()):
        whole = first(keys(scores[open_], place), scores[open_], count)
        key[open_], values[open_] = whole
    return key, values


def largest(scores: Tensor, few: int) -> tuple[Tensor, Tensor]:
    """(B, few) values and places in no order; of many items from groups: the largest few lie in the groups whose best are largest."""
    width = scores.shape[1]
    if width < GROUPED * few:
        at = parted(scores, few)
        return scores.gather(1, at), at
    groups = width // int((width / few) ** 0.5)
    size = width // groups
    even = groups * size  # the rest stands by itself
    best_of = scores[:, :even].unflatten(1, (size, groups)).amax(1)  # (B, groups)
    place = members(parted(best_of, few), groups, size)
    place = torch.cat([place, torch.arange(even, width).expand(len(scores), -1)], 1)
    found, at = largest(scores.gather(1, place), few)
    return found, place.gather(1, at)


def members(group: Tensor, groups: int, size: int) -> Tensor:
    """(B, size · N) the items of some groups (B, N): every so many-th, from its number on."""
    return (group[:, None] + groups * torch.arange(size)[:, None]).flatten(1)


def parted(scores: Tensor, few: int) -> Tensor:
    """(B, few) places of the largest, in no order: numpy parts a row in half the time of torch's topk, and less where few are many."""
    return torch.from_numpy(np.argpartition(scores.detach().numpy(), -few, axis=1)[:, -few:])


def masked(scores: Tensor, start: int, stop: int, hidden: tuple[Tensor, Tensor], allowed: Tensor | None) -> Tensor:
    """(B, stop - start) float32 with -inf for what may not be named, written over the scores."""
    scores = scores.to("cpu", torch.float32)
    owner, item = hidden
    if start or bool((item >= stop).any()):
        here = (item >= start) & (item < stop)
        owner, item = owner[here], item[here] - start
    scores[owner, item] = -torch.inf
    if allowed is not None:
        scores[:, ~allowed[start:stop]] = -torch.inf
    return scores


def first(key: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(B, K) the largest keys, falling, and their scores."""
    top = key.topk(min(count, key.shape[1]), dim=1)
    return top.values, scores.gather(1, top.indices)


def widen(values: Tensor, width: int, fill: float) -> Tensor:
    """(B, width), filled on the right."""
    lacking = width - values.shape[1]
    return torch.cat([values, values.new_full((len(values), lacking), fill)], dim=1) if lacking else values
