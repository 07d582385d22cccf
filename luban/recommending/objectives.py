"""What a recommender that is trained learns from. B users, E items of their histories, P pairs, D width, M places."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from luban.recommending.batch import Batch
from luban.task import Loss, Pool

Losses = Generator[Loss | Pool, Tensor, None]


def pairwise(model: Any, batch: Batch) -> Losses:
    """BPR's: what was taken against what was not, -log σ of the difference, mean over the pairs (Rendle et al. 2009, section 4)."""
    known = batch.negative >= 0
    count = int(known.sum())
    better, worse = model.rate(batch, batch.history), model.rate(batch, batch.negative.clamp(min=0))
    loss = F.softplus(worse - better)[known]
    yield Loss(loss.mean() if count else loss.sum(), count)


def following(model: Any, batch: Batch) -> Losses:
    """Of each item of a history the one that follows, among all items or some drawn: cross entropy, mean over the places.

    The drawn stand for all others: each of S counts as (I - 1) / S of them, its share of the draws taken from its score (log q of even draws;
    Bengio and Senécal 2008, eq. 9); one that is the item itself is passed over.
    """
    states, place = model.following(batch)
    item, owner = batch.history[place], batch.owner[place]
    if batch.sampled is None:
        loss = F.cross_entropy(model.logits(states), item, reduction="sum")
    else:
        same = batch.sampled[owner] == item[:, None]
        count = (~same).sum(1, keepdim=True).clamp(min=1)
        others = model.against(states, owner, batch.sampled) + ((model.item.shape[0] - 1) / count).log()
        right = (states * model.item[item]).sum(1, keepdim=True)
        scores = torch.cat([right, others.masked_fill(same, -torch.inf)], 1)
        loss = F.cross_entropy(scores, torch.zeros_like(item), reduction="sum")
    yield Loss(loss / max(1, len(item)), len(item))


def pooled(model: Any, batch: Batch) -> Losses:
    """Of each pair's item among the items of the whole step, each score less the log of how often its item is drawn (Yi et al. 2019, eq. 3)."""
    rows = yield Pool(model.pooled(batch, batch.positive))  # (P, 2 D + 3)
    width = (rows.shape[1] - 3) // 2
    item = rows[:, -3].detach().long() << 16 | rows[:, -2].detach().long()
    scores = rows[:, :width] @ rows[:, width : 2 * width].T - rows[:, -1].detach()
    same = (item[:, None] == item) & ~torch.eye(len(item), dtype=torch.bool, device=item.device)
    yield Loss(F.cross_entropy(scores.masked_fill(same, -torch.inf), torch.arange(len(item), device=item.device)), len(item))


OF: dict[str, Callable[[Any, Batch], Losses]] = {"pairwise": pairwise, "next": following, "pool": pooled}
