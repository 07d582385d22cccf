"""What the net remembers of training: every user's history, so that an id alone can be answered and nobody is told what they know.

U users, I items, E pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.columns import Columns
from luban.draw import mix
from luban.layers.nearest import nearest_to
from luban.recommending.batch import Batch, extended
from luban.recommending.examples import AMOUNT, HISTORY, USER

BITS = 64  # of a sketch
USERS = 65_536  # sketched at once


class Memory(nn.Module):
    """Histories as spans over one array, and how often each item was taken."""

    starts: Tensor  # (U + 1,) int64
    items: Tensor  # (E,) int32
    amounts: Tensor  # (E,) float32, or (0,) where every amount is 1
    counts: Tensor  # (I,) int64, users of each item
    sketched: Tensor | None = None

    def __init__(self, num_users: int, num_items: int, num_pairs: int, *, weighted: bool) -> None:
        super().__init__()
        self.register_buffer("starts", torch.zeros(num_users + 1, dtype=torch.int64))
        self.register_buffer("items", torch.zeros(num_pairs, dtype=torch.int32))
        self.register_buffer("amounts", torch.zeros(num_pairs if weighted else 0))
        self.register_buffer("counts", torch.zeros(num_items, dtype=torch.int64))

    def fill(self, examples: Columns) -> None:
        """Take the histories of the training examples, of some users or of all."""
        user, history, amount = np.asarray(examples[USER]), examples[HISTORY], examples[AMOUNT]
        order = np.argsort(user, kind="stable")
        lengths = np.zeros(len(self.starts) - 1, np.int64)
        lengths[user[order]] = history.lengths[order]
        items = history.take(order).flat()
        self.starts.copy_(torch.from_numpy(np.r_[0, np.cumsum(lengths)]))
        self.items[: len(items)] = torch.from_numpy(items.astype(np.int32))
        if len(self.amounts):
            self.amounts[: len(items)] = torch.from_numpy(np.array(amount.take(order).flat()))
        self.counts.copy_(torch.from_numpy(np.bincount(items, minlength=len(self.counts))))
        self.sketched = None

    def check_buffers(self) -> None:
        """Raises ValueError where spans or items lie outside: the buffers of a bundle come from a stranger."""
        starts, items = self.starts, self.items
        sound = bool((starts[0] == 0) & (starts[1:] >= starts[:-1]).all() & (starts[-1] <= len(items)))
        if not sound or (len(items) and not bool(((items >= 0) & (items < len(self.counts))).all())):
            raise ValueError("memory")

    def matrix(self) -> Any:
        """(U, I) float32, what was taken."""
        from scipy.sparse import csr_array

        count = int(self.starts[-1])
        amounts = self.amounts[:count].cpu().numpy() if len(self.amounts) else np.ones(count, np.float32)
        parts = amounts, self.items[:count].cpu().numpy(), self.starts.cpu().numpy()
        return csr_array(parts, shape=(len(self.starts) - 1, len(self.counts)))

    def sketch(self) -> Tensor:
        """(I, 64) of length 1, whose inner products are about the cosines of who took the items: sums of keyed signs (Charikar 2002)."""
        if self.sketched is None:
            users, total = self.matrix(), np.zeros((len(self.counts), BITS), np.float32)
            for start in range(0, users.shape[0], USERS):
                part = users[start : start + USERS]
                bits = mix(np.arange(start, start + part.shape[0], dtype=np.uint64))[:, None] >> np.arange(BITS, dtype=np.uint64)
                total += part.T @ ((bits & np.uint64(1)).astype(np.float32) * 2 - 1)
            self.sketched = nn.functional.normalize(torch.from_numpy(total), dim=1)
        return self.sketched

    def nearest(self, batch: Batch, count: int, *, users: bool) -> tuple[Tensor, Tensor]:
        """(B, count) nearest users of a user, or nearest items of the last of a history, by the cosine, and how near."""
        from scipy.sparse import csr_array

        known, starts = self.matrix(), np.r_[0, batch.lengths.cumsum(0).cpu().numpy()]
        history = batch.history.cpu().numpy()
        if users:
            asked = csr_array((batch.amount.cpu().numpy(), history, starts), shape=(len(batch.lengths), known.shape[1]))
            near, similarity = nearest_to(asked, known, count, 0.0, own=batch.user.cpu().numpy())
        else:
            last = np.where(batch.lengths.cpu().numpy() > 0, history[np.maximum(starts[1:] - 1, 0)] if len(history) else 0, 0)
            items = known.T.tocsr()
            near, similarity = nearest_to(items[last], items, count, 0.0, own=last)
            similarity[np.diff(starts) == 0] = 0
        lacking = ((0, 0), (0, count - near.shape[1]))
        return torch.from_numpy(np.pad(near.astype(np.int64), lacking)), torch.from_numpy(np.pad(similarity, lacking))

    def recalled(self, batch: Batch) -> Batch:
        """Histories that are to be recalled, before what was given; of what is in both, the given counts."""
        known = batch.recall & (batch.user >= 0)
        if not bool(known.any()):
            return batch
        user = batch.user.clamp(min=0)
        lengths = torch.where(known, self.starts[user + 1] - self.starts[user], 0)
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        place = torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner] + self.starts[user][owner]
        item, given = self.items[place].long(), batch.owner
        amount = self.amounts[place] if len(self.amounts) else torch.ones(len(place), device=item.device)
        span = len(self.counts)
        new = ~torch.isin(owner * span + item, given * span + batch.history)
        owner, item, amount = (torch.cat(pair) for pair in ((owner[new], given), (item[new], batch.history), (amount[new], batch.amount)))
        order = owner.argsort(stable=True)
        return extended(batch, torch.bincount(owner, minlength=len(lengths)), item[order], amount[order])
