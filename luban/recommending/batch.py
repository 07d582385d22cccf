"""What a step, a pass and an answer see of some users. B users, E items in all their histories, K targets of the one with most."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.columns import Columns, Ragged
from luban.draw import Draw
from luban.recommending.examples import AMOUNT, HISTORY, RECALL, SHUNNED, TARGET, USER

TRIES = 8  # draws of an item that the user never met


@dataclass(frozen=True)
class Batch:
    """Histories one after the other; the fields a recommender may read are user, history, amount and lengths."""

    user: Tensor  # (B,) int64 code, below 0 = never seen in training
    lengths: Tensor  # (B,) int64 items of each history
    history: Tensor  # (E,) int64 codes, oldest first
    amount: Tensor  # (E,) float32, above 0
    hidden: Tensor  # (S, 2) int64 user of the batch and item: met, and not in the history
    target: Tensor  # (B, K) int64 codes, below -1 = never seen in training, -1 = none
    recall: Tensor  # (B,) bool: what training knows of the user belongs to the history
    positive: Tensor  # (B, P) int64 items drawn from the later part of each history; (B, 0) where none is wanted
    negative: Tensor  # (E,) int64 items the user never met, -1 = none was drawn; (0,) where nothing is learnt
    sampled: Tensor | None = None  # (B, S) int64 items drawn for each user, whatever they met; None where all items are looked at
    before: Tensor | None = None  # (E,) bool, the earlier part of each history; None where nothing is learnt of the later
    about: dict[str, Any] = field(default_factory=dict)  # what a question says of its users, column by column; {} = nothing

    @property
    def owner(self) -> Tensor:
        """(E,) the user of the batch that each item of a history belongs to."""
        return torch.repeat_interleave(torch.arange(len(self.lengths), device=self.lengths.device), self.lengths)

    def pad(self, width: int) -> tuple[Tensor, Tensor]:
        """(B, width) the latest items of each history on the right, and which of the places are filled."""
        place, filled = self.places(width)
        return (self.history[place] if len(self.history) else torch.zeros_like(place)) * filled, filled

    def places(self, width: int) -> tuple[Tensor, Tensor]:
        """(B, width) where in all histories the latest of each stand, and which of the places are filled."""
        owner = self.owner
        ends = self.lengths.cumsum(0)
        from_end = ends[owner] - 1 - torch.arange(len(owner), device=owner.device)
        kept = from_end < width
        place = self.history.new_zeros(len(self.lengths), width)
        filled = torch.zeros_like(place, dtype=torch.bool)
        place[owner[kept], width - 1 - from_end[kept]] = torch.nonzero(kept)[:, 0]
        filled[owner[kept], width - 1 - from_end[kept]] = True
        return place, filled

    def dense(self, num_items: int) -> Tensor:
        """(B, I) amounts, 0 for what is not in the history."""
        out = torch.zeros(len(self.lengths), num_items, device=self.amount.device, dtype=self.amount.dtype)
        out[self.owner, self.history] = self.amount
        return out


def collate(
    examples: Columns, draw: Draw, num_items: int, *, negatives: bool, pairs: int = 0, in_time: bool = False, sampled: int = 0
) -> Batch:
    """Tensors; for those that are learnt from one item for each of a history that its user never met, keyed by example and place."""
    history, target = examples[HISTORY], examples[TARGET]
    shunned = examples[SHUNNED]
    hidden = np.stack([shunned.places()[0], shunned.flat()], 1)
    learnt_from = not target.lengths.any() and not np.any(examples[RECALL])
    drawn = fresh(history, draw, num_items) if negatives and learnt_from else np.zeros(0, np.int64)
    before, positive = parted(history, draw, pairs, in_time=in_time) if pairs and learnt_from else (None, np.zeros((len(history), 0)))
    return Batch(
        user=tensor(examples[USER]),
        lengths=tensor(history.lengths),
        history=tensor(history.flat()),
        amount=torch.from_numpy(np.array(examples[AMOUNT].flat(), np.float32)),
        hidden=tensor(hidden),
        target=tensor(target.pad(-1, width=int(target.lengths.max(initial=0)))),
        recall=torch.from_numpy(np.array(examples[RECALL], bool)),
        positive=tensor(positive),
        before=None if before is None else torch.from_numpy(before),
        negative=tensor(drawn),
        sampled=tensor(draw.integers("sampled", num_items, sampled)) if sampled and learnt_from else None,
    )


def parted(history: Ragged, draw: Draw, count: int, *, in_time: bool) -> tuple[np.ndarray, np.ndarray]:
    """(E,) bool the items before a place drawn in each history, and (B, P) items drawn, with replacement, from those after it.

    Of `in_time` histories the earlier part is what was known then; of others as many items, whichever. A history of one item has nothing before it.
    """
    owner, within = history.places()
    starts = np.cumsum(history.lengths) - history.lengths
    cut = (1 + draw.integers("cut", 2**40) % np.maximum(1, history.lengths - 1)) * (history.lengths > 1)
    order = np.arange(len(owner)) if in_time else np.lexsort((draw.along(history, "order", 2**62).flat(), owner))
    before = np.zeros(len(owner), bool)
    before[order] = within < cut[owner]
    later = draw.integers("positive", 2**40, count) % np.maximum(1, history.lengths - cut)[:, None]
    place = np.minimum((starts + cut)[:, None] + later, max(0, len(owner) - 1))
    return before, history.flat()[order[place]] if len(owner) else np.zeros((len(history), count), np.int64)


def tensor(values: np.ndarray) -> Tensor:
    """int64."""
    return torch.from_numpy(np.array(values, np.int64))


def fresh(history: Ragged, draw: Draw, num_items: int) -> np.ndarray:
    """(E,) items not in the same history; -1 where every try met one that is."""
    owner, _ = history.places()
    met = np.sort(owner * num_items + history.flat())
    out = np.full(len(owner), -1, np.int64)
    for number in range(TRIES):
        open_ = np.flatnonzero(out < 0)
        if not len(open_):
            break
        tried = draw.along(history, f"negative{number}", num_items).flat()[open_]
        pair = owner[open_] * num_items + tried
        place = np.searchsorted(met, pair)
        known = met[np.minimum(place, len(met) - 1)] == pair
        out[open_[~known]] = tried[~known]
    return out


def extended(batch: Batch, lengths: Tensor, history: Tensor, amount: Tensor) -> Batch:
    """The batch with longer histories."""
    return replace(batch, lengths=lengths, history=history, amount=amount)
