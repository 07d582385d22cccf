"""From scores to answers and marks: lists, reasons, neighbours, variety. B users, L places, K an answer's, R reasons, D a sketch's width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luban.columns import Array, Columns
from luban.errors import RecipeError, warn
from luban.memory import available
from luban.messages import both, tr
from luban.recommending import ids, reasons, variety
from luban.recommending.batch import Batch
from luban.recommending.catalogue import AGES, COLD
from luban.recommending.lists import CUTOFFS

KNOWN = (0, 1, 10, 50, 200)  # items of a history from which a slice begins
SHARE = 0.5  # of the memory, that a matrix of items by items may take


@dataclass(frozen=True)
class Prediction:
    """Lists, and how they meet the targets; every tensor has one row a user, of one width whatever the batch."""

    items: Tensor  # (B, L) int64 codes, -1 = none; users where those were asked for
    scores: Tensor  # (B, L)
    because: Tensor  # (B, K, R) int64 items of the history, -1 = none
    known: Tensor  # (B,) int64 items of the history
    hits: Tensor  # (B, L) bool
    relevant: Tensor  # (B, 4) int64 targets by age, the last cold
    age: Tensor  # (B, L) int64
    apart: Tensor  # (B, cutoffs)


def predict(net: Any, batch: Batch, config: Any, count: int, allowed: Tensor | None, ages: Array) -> Prediction:
    """Lists of `count` places."""
    batch = net.memory.recalled(batch)
    if config.find != "items":
        return neighbours(net, batch, config, count)
    answering = batch.target.shape[1] == 0  # scores are of exact lists
    items, scores = net.best(batch, count, repeat=config.repeat, allowed=allowed, search=config.search if answering else "exact")
    sketch = net.memory.sketch()
    if config.diversity:
        items, scores = variety.reranked(items, scores, sketch, config.diversity, config.k)
    age = torch.from_numpy(np.array(ages, np.int64))
    target = batch.target.cpu() if config.repeat else unmet(batch).cpu()
    because = reasons.of(net.model, batch, items[:, : config.k], config.reasons, asked=answering)
    return Prediction(
        items, scores, because, batch.lengths.cpu(),
        hits=hits(items, target), relevant=by_age(target, age), age=torch.where(items >= 0, age[items.clamp(min=0)], COLD),
        apart=variety.apart(items, sketch),
    )  # fmt: skip


def unmet(batch: Batch) -> Tensor:
    """(B, K) targets, less those that the history turned out to hold."""
    target = batch.target
    span = 1 + max(0, *(int(codes.max()) if codes.numel() else 0 for codes in (batch.history, target)))
    place = torch.arange(len(target), device=target.device)[:, None] * span + target
    return torch.where(torch.isin(place, batch.owner * span + batch.history) & (target >= 0), ids.NONE, target)


def hits(items: Tensor, target: Tensor) -> Tensor:
    """(B, L) whether each named item is a target."""
    if not target.shape[1]:
        return torch.zeros_like(items, dtype=torch.bool)
    rising = target.sort(1).values
    place = torch.searchsorted(rising, items).clamp(max=target.shape[1] - 1)
    return (rising.gather(1, place) == items) & (items >= 0)


def by_age(target: Tensor, age: Tensor) -> Tensor:
    """(B, 4) how many targets are of each age."""
    group = torch.where(target >= 0, age[target.clamp(min=0)], torch.where(target < ids.NONE, COLD, COLD + 1))
    return torch.nn.functional.one_hot(group, COLD + 2).sum(1)[:, : COLD + 1]


def neighbours(net: Any, batch: Batch, config: Any, count: int) -> Prediction:
    """The nearest items, or users, in what training saw."""
    near, similarity = net.memory.nearest(batch, count, users=config.find == "similar_users")
    size = len(near)
    near = torch.where(similarity > 0, near, -1)
    nothing = torch.zeros_like(near)
    return Prediction(
        near, similarity, torch.full((size, config.k, config.reasons), -1), batch.lengths.cpu(), nothing.bool(),
        torch.zeros(size, COLD + 1, dtype=torch.int64), nothing, torch.zeros(size, len(CUTOFFS)),
    )  # fmt: skip


def allowed(only: tuple[Any, ...], without: tuple[Any, ...], names: dict[str, Any]) -> Tensor | None:
    """(I,) the items that may be named; None = all. Raises RecipeError L162 where `only` leaves none."""
    return chosen(only, without, tuple(names.items())) if only or without else None


@lru_cache(maxsize=4)
def chosen(only: tuple[Any, ...], without: tuple[Any, ...], names: tuple[tuple[str, Any], ...]) -> Tensor:
    """(I,) the items that may be named."""
    spec = dict(names)
    out = torch.full((spec["count"],), not only)
    for listed, value in ((only, True), (without, False)):
        if not listed:
            continue
        codes = ids.encode(pl.Series("", [str(name) for name in listed]), spec)
        out[codes[codes >= 0]] = value
        if strange := int((codes < 0).sum()):
            warn("W270", tr("{n} items of a filter are unknown: they are passed over", n=strange), where="only, without")
    if not bool(out.any()):
        raise RecipeError(
            "L162", tr("the filter leaves no item that could be named"), where="only, without", received=listed_few(only, without)
        )
    return out


def listed_few(only: tuple[Any, ...], without: tuple[Any, ...]) -> list[Any]:
    """The beginning of the filter."""
    return list((only or without)[:5])


def answer(prediction: Prediction, config: Any, state: dict[str, Any]) -> pl.DataFrame:
    """A row a user."""
    users = config.find == "similar_users"
    names, what = (state["users"], "users") if users else (state["items"], "items")
    codes = prediction.items[:, : config.k].cpu().numpy()
    scores = prediction.scores[:, : config.k].cpu().numpy().astype(np.float64)
    count = (codes >= 0).sum(1)
    columns = {what: lists(codes, count, names), "scores": [row[:n].round(6).tolist() for row, n in zip(scores, count, strict=True)]}
    dtype = pl.Int64 if names["kind"] == "int" else pl.String
    schema: dict[str, Any] = {what: pl.List(dtype), "scores": pl.List(pl.Float64)}
    if config.find == "items":
        columns["because"] = spoken(prediction, count, state["items"])
        schema["because"] = pl.List(pl.String)
    return pl.DataFrame(columns, schema=schema)


def lists(codes: Array, count: Array, names: Any) -> list[list[Any]]:
    """Names row by row, without those that are none."""
    named = ids.decode(codes, names)
    width = codes.shape[1]
    return [named[row * width : row * width + n] for row, n in enumerate(count.tolist())]


def spoken(prediction: Prediction, count: Array, names: Any) -> list[list[str]]:
    """The reason of each item: those of the history that speak for it; empty where none does, for it is what most users took."""
    because = prediction.because.cpu().numpy()
    named = np.array(ids.decode(because, names), object).reshape(because.shape)
    return [
        [", ".join(str(name) for name in named[row, place] if name is not None) for place in range(n)]
        for row, n in enumerate(count.tolist())
    ]


def marks(prediction: Prediction, share: Array, num_items: int) -> dict[str, Any]:
    """What the metrics of lists need."""
    items = prediction.items.cpu().numpy()
    size = len(items)
    first = prediction.scores[:, 0].cpu().numpy()
    return {
        "hits": prediction.hits.cpu().numpy(),
        "relevant": prediction.relevant.sum(1).cpu().numpy(),
        "listed": items.astype(np.int32),
        "share": np.where(items >= 0, share[np.maximum(items, 0)], 0).astype(np.float32),
        "apart": prediction.apart.cpu().numpy(),
        "catalogue": np.full(size, num_items),
        "known": prediction.known.cpu().numpy(),
        "age": prediction.age.cpu().numpy().astype(np.int8),
        "relevant_by_age": prediction.relevant.cpu().numpy(),
        "answer": np.where(first == -np.inf, 0.0, first),
    }


def slices(judged: Columns) -> Iterator[tuple[Any, Any, Columns]]:
    """(by what, which, its marks)."""
    known = np.asarray(judged["known"])
    for low, high in pairwise([*KNOWN, np.inf]):
        inside = np.flatnonzero((known >= low) & (known < high))
        name = both("no history") if low == 0 else both("{low} and more items", low=low) if high == np.inf else f"{low} … {int(high) - 1}"
        if len(inside):
            yield both("user's history"), name, judged.take(inside)
    for age, name in enumerate(AGES):
        relevant = np.asarray(judged["relevant_by_age"])[:, age]
        inside = np.flatnonzero(relevant > 0)
        if len(inside):
            part = judged.take(inside)
            hit = np.asarray(part["hits"]) & (np.asarray(part["age"]) == age)
            title = {
                "old": both("oldest third"),
                "middle": both("middle third"),
                "new": both("newest third"),
                "cold": both("never in training"),
            }
            yield both("item's age"), title[name], Columns({**part.data, "hits": hit, "relevant": relevant[inside]}, part.row)


def fits(model: Any, num_items: int) -> bool:
    """Whether a model that weighs every item against every other can be solved here."""
    return num_items**2 * getattr(model, "bytes_a_pair", 0) <= SHARE * available()


def check_capacity(model: Any, num_items: int, most: float) -> None:
    """Raises RecipeError L161."""
    needed = num_items**2 * getattr(model, "bytes_a_pair", 0)
    if needed > most:
        what = tr(
            "{items} items against each other take {needed:.3g} GB; {most:.3g} GB are there",
            items=f"{num_items:,}",
            needed=needed / 1e9,
            most=most / 1e9,
        )
        raise RecipeError(
            "L161", what, where="model.kind", received=model.__name__.lower(), fix=tr('model = "ials" grows with the interactions alone')
        )
