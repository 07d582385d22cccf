"""What is known of each item from the training rows: how many users took it, and since when. I items."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.columns import Array, Columns
from luban.errors import DataError
from luban.messages import tr
from luban.recommending import ids
from luban.recommending.examples import ITEM, TIME, USER, WEIGHT

AGES = ("old", "middle", "new", "cold")  # thirds of the items by their first event; those that training never saw
COLD = 3


def facts(rows: Columns, num_items: int) -> dict[str, Any]:
    """Pairs of user and item, users of each item, and the third it belongs to by age. Raises DataError L287 where nothing was liked."""
    liked = np.asarray(rows[WEIGHT]) > 0 if WEIGHT in rows else np.ones(len(rows), bool)
    user, item = np.asarray(rows[USER])[liked], np.asarray(rows[ITEM])[liked]
    pair = np.unique(user * num_items + item)
    if not len(pair):
        fix = tr("check the weights, at_least, and the columns of users and items")
        raise DataError("L287", tr("no training row says that a user took an item"), where="recipe.toml: task", fix=fix)
    counts = np.bincount(pair % num_items, minlength=num_items)
    return {"pairs": len(pair), "counts": ids.pack_numbers(counts), "ages": ids.pack_numbers(thirds(rows, counts))}


def thirds(rows: Columns, counts: Array) -> Array:
    """(I,) 0 … 2, by the first moment an item was met; without time by how many took it, most first; 3 for one that is only described."""
    first = -counts.astype(np.float64)
    if TIME in rows:
        first = np.full(len(counts), np.inf)
        np.minimum.at(first, np.asarray(rows[ITEM]), np.asarray(rows[TIME]))
    met = counts > 0
    place = np.searchsorted(np.sort(first[met]), first)
    return np.where(met, 3 * place // max(1, int(met.sum())), COLD)


def counts(state: dict[str, Any]) -> Array:
    """(I,) users of each item."""
    return ids.numbers(state["counts"], state["items"]["count"])


def ages(state: dict[str, Any]) -> Array:
    """(I,) the third of each item."""
    return ids.numbers(state["ages"], state["items"]["count"])
