"""Two towers from least squares: by their formula in float64; who lends whom a vector: by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from luban.layers import towers as module
from luban.layers.least_squares import both_sides, factorise
from luban.layers.towers import lending, towers


def taken(users: int = 60, items: int = 12) -> csr_array:
    """Two tastes, six items each; every user takes four of one."""
    rng = np.random.default_rng(0)
    cells = np.zeros((users, items), np.float32)
    for user in range(users):
        cells[user, 6 * (user % 2) + rng.permutation(6)[:4]] = 1
    return csr_array(cells)


def test_a_history_says_what_its_user_would() -> None:
    """(Σ h) G⁻¹ yᵀ up to one factor, with G = α₀ YᵀY + the mean of what users' own pairs and penalties add."""
    torch.manual_seed(0)
    users = taken()
    named, spoken = (side.double().numpy() for side in towers(users, factors=4, spread=2.0))
    often = np.asarray(users.sum(0)).reshape(-1)
    scores = (users @ spoken) @ named.T / 2  # of histories of four
    np.testing.assert_allclose(scores.std(1).mean(), 2.0, rtol=1e-4)
    penalty = 0.3 * np.sqrt(4 + 0.3 * 12)
    scale = np.linalg.norm(named) / np.linalg.norm(spoken)
    np.testing.assert_allclose(scale, 1.0, rtol=1e-4)
    spans = both_sides(users)
    torch.manual_seed(0)
    settings = {"sweeps": 8, "unobserved": 0.3, "penalty": 0.3, "exponent": 0.5, "block": 4, "scale": 0.1, "steps": 2}
    item = [found for _, found in factorise(*spans, factors=4, **settings)][-1].double().numpy()
    matrix = 0.3 * item.T @ item + (item.T * often / 60) @ item + penalty * np.eye(4)
    wanted = (users @ np.linalg.solve(matrix, item.T).T) @ item.T / 2
    np.testing.assert_allclose(scores, wanted * 2.0 / wanted.std(1).mean(), rtol=1e-3, atol=1e-4)


def test_what_a_history_lacks_of_its_own_taste_stands_first() -> None:
    torch.manual_seed(1)
    users = taken()
    named, spoken = towers(users, factors=4, spread=2.0)
    scores = torch.from_numpy(users @ spoken.numpy()) @ named.T
    scores[torch.from_numpy(users.toarray()) > 0] = -torch.inf
    assert ((scores.topk(2).indices // 6) == (torch.arange(60) % 2)[:, None]).all()


def test_who_lends() -> None:
    """Items of words a, b, c, d: item 0 = a b, 1 = a b, 2 = a c, 3 = d (nobody took it), 4 = a b (nobody), 5 = no word in common with any (nobody)."""
    told = csr_array(np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1.0]]))
    near, share = lending(told, np.array([5, 3, 2, 0, 0, 0]), 2)
    assert near[4].tolist() == [0, 1]
    torch.testing.assert_close(share[4], torch.tensor([0.5, 0.5]))
    assert near[0].tolist() == [1, 2], "none borrows from itself, nor from one that nobody took"
    torch.testing.assert_close(share[0], torch.tensor([1.0, 0.5]) / 1.5)
    assert share[3].sum() == share[5].sum() == 0


def test_nobody_lends_where_nobody_took_anything_or_there_are_fewer_than_asked() -> None:
    told = csr_array(np.ones((3, 1)))
    assert lending(told, np.zeros(3, int), 2)[1].sum() == 0
    near, share = lending(told, np.array([1, 0, 0]), 4)
    assert near.shape == share.shape == (3, 4)
    torch.testing.assert_close(share.sum(1), torch.tensor([0.0, 1.0, 1.0]))


def test_of_many_items_the_most_taken_lend_and_few_borrow_as_if_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LENDERS", 4)
    monkeypatch.setattr(module, "BORROWERS", 2)
    near, share = lending(csr_array(np.ones((8, 1))), np.array([1, 9, 8, 7, 6, 0, 2, 3]), 3)
    assert set(near[share > 0].tolist()) <= {1, 2, 3, 4}
    assert torch.nonzero(share.sum(1)).flatten().tolist() == [1, 3, 5]
