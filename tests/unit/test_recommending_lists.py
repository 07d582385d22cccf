"""The best of all items, and lists made more various; each against a slow and plain calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luban.recommending import ranking, variety


def dull(scores: torch.Tensor) -> torch.Tensor:
    """To as many bits as are compared."""
    return ((scores.view(torch.int32) + ranking.NOISE) & ~0xFF).view(torch.float32)


@pytest.mark.parametrize("grouped", [2, 64])
@pytest.mark.parametrize("num_items", [3, 511, 1511])
def test_the_best_are_those_of_a_full_sort(num_items: int, grouped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "CELLS", 1000)
    monkeypatch.setattr(ranking, "GROUPED", grouped)
    rng = torch.Generator().manual_seed(num_items)
    scores = torch.randn(13, num_items, generator=rng)
    scores[:, ::3] = scores[:, :1]  # many ties
    hidden = torch.randint(0, 13, (40,), generator=rng), torch.randint(0, num_items, (40,), generator=rng)
    allowed = torch.rand(num_items, generator=rng) < 0.8
    items, found = ranking.best(lambda a, b: scores[:, a:b], 13, num_items, 50, hidden=hidden, allowed=allowed)
    plain = scores.clone()
    plain[hidden] = -torch.inf
    plain[:, ~allowed] = -torch.inf
    place = ranking.places(num_items)[0].tolist()
    for user in range(13):
        order = sorted(
            (i for i in range(num_items) if plain[user, i] > -torch.inf), key=lambda i: (-float(dull(plain)[user, i]), -place[i])
        )
        assert [i for i in items[user].tolist() if i >= 0] == order[:50]
        assert found[user, : len(order[:50])].tolist() == plain[user][order[:50]].tolist()


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 3e-39, -1e4])
def test_what_a_tie_leaves_out_is_found_in_later_blocks(level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that differ by less than is compared stand in every block; the same list comes from one block."""
    rng = torch.Generator().manual_seed(5)
    scores = level + torch.randn(7, 4000, generator=rng) * (abs(level) or 1e-38) * 2**-17
    nothing = (torch.zeros(0).long(),) * 2
    whole = ranking.best(lambda a, b: scores[:, a:b].clone(), 7, 4000, 10, hidden=nothing, allowed=None)
    monkeypatch.setattr(ranking, "CELLS", 1000)
    cut = ranking.best(lambda a, b: scores[:, a:b].clone(), 7, 4000, 10, hidden=nothing, allowed=None)
    assert whole[0].tolist() == cut[0].tolist()
    monkeypatch.setattr(ranking, "OPEN", 0)
    assert ranking.best(lambda a, b: scores[:, a:b].clone(), 7, 4000, 10, hidden=nothing, allowed=None)[0].tolist() == whole[0].tolist()


def test_nobody_is_told_nothing() -> None:
    nothing = (torch.zeros(0).long(),) * 2
    items, scores = ranking.best(lambda a, b: torch.zeros(0, b - a), 0, 5_000_000, 10, hidden=nothing, allowed=None)
    assert items.shape == scores.shape == (0, 10)


def test_items_of_one_score_are_named_by_no_order_of_names() -> None:
    items, _ = ranking.best(lambda a, b: torch.zeros(2, b - a), 2, 1009, 10, hidden=(torch.zeros(0).long(),) * 2, allowed=None)
    assert items[0].tolist() == items[1].tolist() != list(range(10))
    assert len(set(items[0].tolist())) == 10


# --- variety


def test_distance_within_a_list_is_the_mean_over_its_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    sketch = torch.nn.functional.normalize(torch.randn(29, 7, generator=rng), dim=1)
    items = torch.stack([torch.randperm(29, generator=rng)[:13] for _ in range(3)])
    items[2, 4:] = -1
    found = variety.apart(items, sketch)
    for user in range(3):
        named = [i for i in items[user].tolist() if i >= 0][:5]
        pairs = [1 - float(sketch[a] @ sketch[b]) for p, a in enumerate(named) for b in named[p + 1 :]]
        assert found[user, 1] == pytest.approx(np.mean(pairs), abs=1e-5)
    assert (found[:, 0] == -1).all()


def test_more_variety_is_bought_with_score() -> None:
    rng = torch.Generator().manual_seed(1)
    sketch = torch.nn.functional.normalize(torch.randn(97, 5, generator=rng), dim=1)
    items = torch.stack([torch.randperm(97, generator=rng)[:40] for _ in range(11)])
    scores = torch.rand(11, 40, generator=rng).sort(1, descending=True).values
    items[:, 35:], scores[:, 35:] = -1, -torch.inf
    last = None
    for share in (0.0, 0.3, 0.7):
        found, value = variety.reranked(items, scores, sketch, share, 5)
        assert sorted(found[0].tolist()) == sorted(items[0].tolist())
        apart, worth = float(variety.apart(found, sketch)[:, 1].mean()), float(value[:, :5].mean())
        assert last is None or (apart > last[0] and worth < last[1])
        last = apart, worth
    unchanged, _ = variety.reranked(items, scores, sketch, 0.0, 5)
    torch.testing.assert_close(unchanged, items)
