"""Nearly the best items among very many, by usearch's graph of neighbours; what it finds is scored again, exactly.

A score is the product of a user's vector with an item's. The largest product is the smallest distance once every item is given one more
dimension that makes all of them equally long (Bachrach et al. 2014, "Speeding up the Xbox recommender system using a Euclidean transformation").
B users, I items, D width, K best, W found by the graph.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from luban.errors import MachineError, RecipeError
from luban.messages import tr
from luban.recommending import ranking

MANY = 1_000_000  # items up to which every one is scored
SPARE, WIDEST = 32, 2048  # looked for beyond those asked and those met; and at most
DEPTH = 8  # of the graph's search, times what is looked for
MOST_DEPTH = 4096

BUILT: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()  # model -> its weights' versions, and their graph


def used(search: str, model: Any, num_items: int) -> bool:
    """Whether the graph is asked. Raises RecipeError L165 for a model without vectors, MachineError L508 where usearch is asked and missing."""
    if search == "exact" or (search == "auto" and num_items <= MANY):
        return False
    able, there = hasattr(model, "vectors_of"), importlib.util.find_spec("usearch") is not None
    if search == "index":
        if not able:
            fix = tr('choose a model of factors, such as "ials", or search = "exact"')
            raise RecipeError("L165", tr("the scores of this model are no products of vectors"), where="task.search", fix=fix)
        if not there:
            raise MachineError(
                "L508", tr("the index of items needs the package usearch"), where="task.search", fix="pip install 'luban[index]'"
            )
    return able and there


def graph_of(model: Any, items: Tensor) -> Any:
    """Built once for the weights as they are."""
    key = tuple((id(part), 0 if part.is_inference() else part._version) for part in (*model.parameters(), *model.buffers()))
    if model not in BUILT or BUILT[model][0] != key:
        BUILT[model] = key, built(items)
    return BUILT[model][1]


def built(items: Tensor) -> Any:
    """Of (I, D) vectors, each lengthened to that of the longest."""
    Index = importlib.import_module("usearch.index").Index
    lengths = items.square().sum(1)
    lacking = (lengths.max() - lengths).clamp(min=0).sqrt()
    graph = Index(ndim=items.shape[1] + 1, metric="l2sq", dtype="f32", connectivity=32, expansion_add=256)
    graph.add(np.arange(len(items)), torch.cat([items, lacking[:, None]], 1).numpy(), threads=torch.get_num_threads())
    return graph


def found(graph: Any, users: Tensor, width: int) -> Tensor:
    """(B, W) codes of the nearest, -1 = none."""
    graph.expansion_search = min(MOST_DEPTH, DEPTH * width)
    wanted = torch.cat([users, users.new_zeros(len(users), 1)], 1).numpy()
    matches = graph.search(wanted, width, threads=torch.get_num_threads())
    keys = np.array(matches.keys, np.int64).reshape(len(users), -1)
    if len(users) > 1:
        counts = np.asarray(matches.counts).reshape(-1)
        keys[np.arange(keys.shape[1]) >= counts[:, None]] = -1
    return torch.from_numpy(keys)


def best(model: Any, query: Any, count: int, *, hidden: tuple[Tensor, Tensor], bare: Tensor, exact: Callable[[Tensor], Any]) -> Any:
    """(B, K) items and scores as `ranking.best` gives them; `exact` answers the users (rows) whom the graph leaves short, and the `bare` ones."""
    users, items = (part.detach().to("cpu", torch.float32) for part in model.vectors_of(query))
    owner, met = hidden
    known = torch.bincount(owner, minlength=len(users))
    width = min(len(items), WIDEST, count + SPARE + (int(known.max()) if len(known) else 0))
    near = found(graph_of(model, items), users, width)
    scores = torch.einsum("bd,bwd->bw", users, items[near.clamp(min=0)])
    pair = torch.arange(len(users))[:, None] * len(items) + near
    scores[(near < 0) | torch.isin(pair, owner * len(items) + met)] = -torch.inf
    place, item_at = ranking.places(len(items))
    key, scores = ranking.first(ranking.keys(scores, place[near.clamp(min=0)]), scores, count)
    named = item_at[key & ranking.LOW]
    short = torch.nonzero(bare | (scores[:, -1] == -torch.inf))[:, 0]
    if len(short):
        named[short], scores[short] = exact(short)
    return named, scores
