"""Events -> examples: a user's history, oldest first, and, where asked, the items that followed.

N rows (events), E examples (users). The history holds each item once, at its latest place, the weights of its events summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luban.columns import Array, Columns, Ragged

USER, ITEM, TIME, WEIGHT, ITEMS = "user", "item", "time", "weight", "items"
HISTORY, AMOUNT, SHUNNED, TARGET, RECALL = "history", "amount", "shunned", "target", "recall"


@dataclass(frozen=True)
class Events:
    """Rows in the order of user, time, item."""

    user: Array  # (N,) the number of the example
    item: Array
    weight: Array
    row: Array
    who: Array  # (E,) the user's code


def ordered(rows: Columns) -> Events:
    """All events, each user's together and oldest first; of the same moment by item, else as the rows stand."""
    user, item = np.asarray(rows[USER]), np.asarray(rows[ITEM])
    order = np.lexsort((item, np.asarray(rows[TIME]), user)) if TIME in rows else np.argsort(user, kind="stable")
    who, number = np.unique(user[order], return_inverse=True)
    weight = np.asarray(rows[WEIGHT])[order] if WEIGHT in rows else np.ones(len(order), np.float32)
    return Events(number.reshape(-1), item[order], weight, order, who)


def arrange(rows: Columns, asked: Array | None, *, profile: Array | None = None, repeat: bool = False) -> Columns:
    """One example a user; `asked` (N,) marks targets, `profile` (N,) what the history may hold (else all that is not asked).

    With nothing or everything asked, all rows are history: what a model learns from, or answers. `repeat` keeps targets met before.
    """
    if ITEM not in rows:
        return as_asked(rows)
    events = ordered(rows)
    target = np.zeros(len(rows), bool) if asked is None or asked.all() else asked[events.row]
    before = ~target if profile is None else profile[events.row] & ~target
    seen = merged(events, ~target & (events.item >= 0))
    liked = merged(events, before & (events.item >= 0) & (events.weight > 0), amounts=True)
    data = {USER: events.who, HISTORY: liked[0], AMOUNT: liked[1], SHUNNED: difference(seen[0], liked[0])}
    data |= {TARGET: targets(events, target & (events.weight > 0), None if repeat else seen[0])}
    data[RECALL] = np.full(len(events.who), asked is None)
    last = last_row(events, target) if target.any() else last_row(events, np.ones(len(rows), bool))
    if asked is not None and not asked.any():  # a split without rows, whose context alone is there
        last[:] = -1
    kept = np.flatnonzero(last >= 0) if not target.any() else np.flatnonzero((last >= 0) & (data[TARGET].lengths > 0))
    out = Columns(data, rows.row[np.maximum(last, 0)], np.maximum(1, liked[0].lengths))
    return out.take(kept)


def questions(rows: Columns, *, repeat: bool = False) -> Columns:
    """All rows are targets; what came before them the model remembers."""
    events = ordered(rows)
    every = np.ones(len(rows), bool)
    target = targets(events, every & (events.weight > 0), None)
    empty = Ragged.of(np.zeros(0, np.int64), np.zeros(len(events.who), np.int64))
    data = {USER: events.who, HISTORY: empty, AMOUNT: Ragged.of(np.zeros(0, np.float32), empty.lengths), SHUNNED: empty, TARGET: target}
    data[RECALL] = np.ones(len(events.who), bool)
    out = Columns(data, rows.row[last_row(events, every)], np.ones(len(events.who), np.int64))
    return out.take(np.flatnonzero(target.lengths > 0))


def as_asked(rows: Columns) -> Columns:
    """Every row is a question by itself: a user's id, a list of items, or both."""
    count = len(rows)
    items = rows[ITEMS] if ITEMS in rows else Ragged.of(np.zeros(0, np.int64), np.zeros(count, np.int64))
    owner, _ = items.places()
    flat = items.flat()
    events = Events(owner, flat, np.ones(len(flat), np.float32), np.arange(len(flat)), np.asarray(rows[USER]))
    history, amount = merged(events, flat >= 0, amounts=True, count=count)
    none = Ragged.of(np.zeros(0, np.int64), np.zeros(count, np.int64))
    data = {USER: events.who, HISTORY: history, AMOUNT: amount, SHUNNED: none, TARGET: none, RECALL: np.ones(count, bool)}
    said = {name: values for name, values in rows.data.items() if name not in (USER, ITEMS)}  # of the user, by the question itself
    return Columns({**data, **said}, rows.row, np.maximum(1, history.lengths))


def merged(events: Events, chosen: Array, *, amounts: bool = False, count: int | None = None) -> tuple[Ragged, Ragged]:
    """The chosen events with each pair of user and item once, at its latest place; and their summed weights."""
    count = len(events.who) if count is None else count
    user, item, weight = events.user[chosen], events.item[chosen], events.weight[chosen]
    pair = user.astype(np.int64) * (int(item.max(initial=0)) + 1) + item
    order = np.argsort(pair, kind="stable")
    last = np.r_[pair[order][1:] != pair[order][:-1], True] if len(pair) else np.zeros(0, bool)
    kept = np.sort(order[last])
    lengths = np.bincount(user[kept], minlength=count)
    total = np.zeros(0, np.float32)
    if amounts:
        ends = np.flatnonzero(last)
        sums = np.diff(np.cumsum(weight[order].astype(np.float64))[ends], prepend=0.0)
        total = sums[np.argsort(order[ends], kind="stable")].astype(np.float32)
    return Ragged.of(item[kept], lengths), Ragged.of(total, lengths if amounts else np.zeros(count, np.int64))


def difference(one: Ragged, other: Ragged) -> Ragged:
    """What stands in the first spans and not in the second."""
    span = int(max(one.values.max(initial=0), other.values.max(initial=0))) + 1
    owner, _ = one.places()
    kept = ~np.isin(owner * span + one.flat(), other.places()[0] * span + other.flat()) if one.lengths.sum() > other.lengths.sum() else None
    if kept is None:
        return Ragged.of(np.zeros(0, np.int64), np.zeros(len(one), np.int64))
    return Ragged.of(one.flat()[kept], np.bincount(owner[kept], minlength=len(one)))


def targets(events: Events, chosen: Array, seen: Ragged | None) -> Ragged:
    """Each asked item once, less those already met."""
    user, item = events.user[chosen], events.item[chosen]
    place = np.unique(item, return_inverse=True)[1].reshape(-1)
    first = np.unique(user.astype(np.int64) * (int(place.max(initial=0)) + 1) + place, return_index=True)[1]
    first.sort()
    user, item = user[first], item[first]
    if seen is not None and len(item):
        span = int(max(seen.values.max(initial=0), item.max())) + 1
        known = np.isin(user * span + item, seen.places()[0] * span + seen.flat()) & (item >= 0)
        user, item = user[~known], item[~known]
    return Ragged.of(item, np.bincount(user, minlength=len(events.who)))


def last_row(events: Events, chosen: Array) -> Array:
    """(E,) the place of each user's latest chosen event, -1 without one."""
    out = np.full(len(events.who), -1, np.int64)
    out[events.user[chosen]] = events.row[chosen]  # of several the last assignment stands: events are in order
    return out
