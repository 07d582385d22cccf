"""Nearly the best items by a graph: what it misses, what it must never name, and what is said where the package lacks."""

from __future__ import annotations

import importlib.util

import numpy as np
import polars as pl
import pytest
import torch

from luban.draw import Draw
from luban.errors import MachineError, RecipeError
from luban.recommending import index
from luban.roles import Sizes
from luban.tasks.recommendation import Recommendation
from luban.training.solving import solve

ITEMS = 4999


def solved(model: dict[str, object], seed: int = 0) -> tuple[Recommendation, torch.nn.Module]:
    """A log of clustered tastes, some items met by nobody twice, and its net."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(601), 23)
    item = (rng.integers(0, 31, 601).repeat(23) * 161 + (161 * rng.random(len(user)) ** 2).astype(int)) % ITEMS
    table = pl.DataFrame({"user_id": np.r_[user, np.full(ITEMS, 601)], "item_id": np.r_[item, np.arange(ITEMS)]})
    config = Recommendation.Config(model={"size": "tiny", **model})
    task = Recommendation(config, Recommendation(config).fit(table))
    examples = task.arrange(task.encode(table), np.ones(len(table), bool))
    torch.manual_seed(0)
    net = task.build()
    task.remember(net, examples)
    solve(task, net, examples, seed=0, folder=None, tell=lambda *_, **__: None)
    return task, net.eval()


def lists(task: Recommendation, net: torch.nn.Module, search: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten items for every user, for one who has met all, and for a stranger without a history."""
    asked = task.arrange(task.encode(pl.DataFrame({"user_id": [*range(602), 999_999]})), None)
    batch = task.collate(asked, Draw(0, 0, np.arange(len(asked)), training=False))
    with torch.inference_mode():
        return net.best(net.memory.recalled(batch), 10, repeat=False, allowed=None, search=search)


def test_the_graph_finds_what_all_scores_find() -> None:
    pytest.importorskip("usearch")
    task, net = solved({"kind": "ials"})
    (exact, scores), (near, values) = lists(task, net, "exact"), lists(task, net, "index")
    recall = np.mean([len(np.intersect1d(one, other)) / 10 for one, other in zip(exact[:601], near[:601], strict=True)])
    assert recall > 0.97
    assert torch.equal(near[601:], exact[601:])  # nothing left to name, and nothing known: searched exactly
    same = exact == near
    torch.testing.assert_close(values[same], scores[same])
    for user in (3, 77, 600):
        met = net.memory.items[net.memory.starts[user] : net.memory.starts[user + 1]]
        assert not torch.isin(near[user], met.long()).any()


def test_a_score_with_a_bias_is_a_product_too() -> None:
    from luban.models.bpr import Bpr

    net = Bpr(Bpr.Config(factors=5), Sizes(7, 11, 13))
    torch.nn.init.normal_(net.bias)
    users, items = net.vectors_of(net.user[:3])
    torch.testing.assert_close(users @ items.T, net.score(net.user[:3], 0, 11))


def test_where_the_package_lacks_it_is_said_and_auto_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(index, "MANY", 100)
    task, net = solved({"kind": "ials"})
    with pytest.raises(MachineError, match="L508") as caught:
        lists(task, net, "index")
    assert "luban[index]" in caught.value.fix
    assert torch.equal(lists(task, net, "auto")[0], lists(task, net, "exact")[0])


def test_a_model_without_vectors_refuses_the_graph() -> None:
    task, net = solved({"kind": "popularity"})
    with pytest.raises(RecipeError, match="L165"):
        lists(task, net, "index")
