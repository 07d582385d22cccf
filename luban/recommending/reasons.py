"""Why an item is named: the items of the history that speak most for it. B users, E items of their histories, K items named, R reasons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from luban.recommending.batch import Batch

LATEST = 200  # items of a history that are asked
PAIRS = 1 << 22  # looked at once


def of(model: Any, batch: Batch, items: Tensor, count: int, *, asked: bool) -> Tensor:
    """(B, K, R) items of the history by how much the model says they speak for each named item, -1 = none."""
    out = torch.full((*items.shape, count), -1)
    if not asked or not count:
        return out
    width = min(LATEST, max(1, int(batch.lengths.max())))
    history, filled = batch.pad(width)
    step = max(1, PAIRS // (items.shape[1] * width))
    for start in range(0, len(items), step):
        part = slice(start, start + step)
        out[part] = strongest(model, history[part], filled[part], items[part].to(history.device), count).cpu()
    return out


def strongest(model: Any, history: Tensor, filled: Tensor, items: Tensor, count: int) -> Tensor:
    """(B, K, R) of some users."""
    shape = (*items.shape, history.shape[1])
    left, right = history[:, None, :].expand(shape), items[:, :, None].clamp(min=0).expand(shape)
    said = model.affinity(left.reshape(-1), right.reshape(-1)).reshape(shape)
    said = said.masked_fill(~filled[:, None, :] | (items[:, :, None] < 0) | (said <= 0), -torch.inf)
    best = said.sort(dim=2, descending=True, stable=True)
    best_items = left.gather(2, best.indices).masked_fill(best.values == -torch.inf, -1)[..., :count]
    lacking = count - best_items.shape[2]
    return torch.nn.functional.pad(best_items, (0, lacking), value=-1) if lacking else best_items
