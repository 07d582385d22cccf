"""What every recommender promises in its role: scores for every item, in pieces as in one, a user at a time as together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from luban import catalog
from luban.columns import Columns
from luban.draw import Draw
from luban.recommending import batch, content
from luban.recommending.batch import Batch
from luban.recommending.examples import arrange
from luban.recommending.memory import Memory
from luban.roles import Sizes
from luban.schema import validate

USERS, ITEMS = 29, 23
NAMES = [entry.name for entry in catalog.entries("models").values() if entry.role == "recommender"]
SOLVED = [name for name in NAMES if not catalog.load("models", name).objective]
models = pytest.mark.parametrize("name", NAMES)
solved = pytest.mark.parametrize("name", SOLVED)


@cache
def examples() -> Columns:
    """Users who took from three to eleven items, more often those of their half."""
    rng, rows = np.random.default_rng(0), []
    for user in range(USERS):
        chance = np.where(np.arange(ITEMS) % 2 == user % 2, 5.0, 1.0)
        rows += [(user, item, time) for time, item in enumerate(rng.choice(ITEMS, 3 + user % 9, replace=False, p=chance / chance.sum()))]
    table = np.array(rows)
    data = {"user": table[:, 0], "item": table[:, 1], "time": table[:, 2].astype(float)}
    return arrange(Columns(data, np.arange(len(rows))), np.ones(len(rows), bool))


def some(users: np.ndarray) -> Batch:
    """A batch of these."""
    return batch.collate(examples().take(users), Draw(0, 0, users, training=False), ITEMS, negatives=True)


@cache
def memory() -> Memory:
    """Of all."""
    made = Memory(USERS, ITEMS, int(examples()["history"].lengths.sum()), weighted=False)
    made.fill(examples())
    return made


def fresh(name: str) -> Any:
    """With its first weights."""
    torch.manual_seed(0)
    entry, model = catalog.find("models", name), catalog.load("models", name)
    config = validate(model.Config, entry.stated.get("SIZES", {"tiny": {}})["tiny"], where="x")
    sizes = Sizes(USERS, ITEMS, int(examples()["history"].lengths.sum()))
    if not getattr(model, "reads_content", False):
        return model(config, sizes)
    encoders = tuple(content.encoders({"kind": name, "size": "tiny"}, shelf().specs)) if model.objective else ()
    return model(config, replace(sizes, content=shelf(), encoders=encoders, counts=memory().counts.numpy()))


@cache
def shelf() -> content.Content:
    """Items that say to which half they belong."""
    table = pl.DataFrame(
        {"title": [f"half {item % 2} 第{item}号" for item in range(ITEMS)], "half": [str(item % 2) for item in range(ITEMS)]}
    )
    inputs = {"title": {"kind": "text", "vocabulary": 300}, "half": {"kind": "category"}}
    return content.content_of(content.fit(table, np.arange(ITEMS), ITEMS, inputs), ITEMS)


@cache
def ready(name: str) -> Any:
    """Solved, where it is."""
    net = fresh(name)
    if name in SOLVED:
        with torch.no_grad():
            shares = list(net.solve([some(np.arange(11)), some(np.arange(11, USERS))]))
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] == 1
    return net.eval()


def scores(net: Any, users: np.ndarray) -> Tensor:
    """(B, I)"""
    with torch.no_grad():
        return net.score(net.query(some(users), memory()), 0, ITEMS)


@models
def test_every_item_gets_a_score(name: str) -> None:
    found = scores(ready(name), np.arange(USERS))
    assert found.shape == (USERS, ITEMS)
    assert found.isfinite().all()


@models
def test_pieces_are_the_whole(name: str) -> None:
    net, whole = ready(name), scores(ready(name), np.arange(USERS))
    with torch.no_grad():
        query = net.query(some(np.arange(USERS)), memory())
        parts = [net.score(query, start, min(start + 7, ITEMS)) for start in range(0, ITEMS, 7)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-6)


@models
def test_a_user_does_not_depend_on_the_others(name: str) -> None:
    net, whole = ready(name), scores(ready(name), np.arange(USERS))
    for users in (np.array([3]), np.array([17, 3, 8])):
        torch.testing.assert_close(scores(net, users), whole[users], rtol=1e-4, atol=1e-5)


@models
def test_it_is_its_state(name: str) -> None:
    twin = fresh(name)
    twin.load_state_dict(ready(name).state_dict(), strict=True)
    assert torch.equal(scores(twin.eval(), np.arange(USERS)), scores(ready(name), np.arange(USERS)))


@models
def test_a_stranger_with_a_history_is_scored_by_it(name: str) -> None:
    net, asked = ready(name), some(np.array([4, 5]))
    stranger = Batch(**{**vars(asked), "user": torch.tensor([-7, -9])})
    with torch.no_grad():
        found = net.score(net.query(stranger, memory()), 0, ITEMS)
    assert found.isfinite().all()
    if name != "popularity":
        assert not torch.equal(found[0], found[1])


@models
def test_affinity_says_a_number_for_each_pair(name: str) -> None:
    left, right = torch.arange(ITEMS).repeat(2), torch.arange(2 * ITEMS).flip(0) % ITEMS
    with torch.no_grad():
        assert ready(name).affinity(left, right).shape == (2 * ITEMS,)


@solved
def test_what_is_solved_has_nothing_to_train_and_tells_the_halves_apart(name: str) -> None:
    net = ready(name)
    assert not list(net.parameters())
    if name == "popularity":
        return
    found = scores(net, np.arange(USERS)).masked_fill(
        torch.stack([some(np.array([u])).dense(ITEMS)[0] > 0 for u in range(USERS)]), torch.nan
    )
    own = torch.stack([row[user % 2 :: 2].nanmean() - row[1 - user % 2 :: 2].nanmean() for user, row in enumerate(found)])
    assert own.mean() > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SOLVED])
def test_what_is_stepped_says_how(name: str) -> None:
    net = fresh(name)
    assert net.objective in ("pairwise", "next", "pool")
    assert list(net.parameters())
