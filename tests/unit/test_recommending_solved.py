"""Recommenders in closed form: direct weights, least squares, neighbours; each against a slow and plain calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from luban.layers.folding import fold_in, upright
from luban.layers.gram import gram, relaxed
from luban.layers.least_squares import Spans, both_sides, factorise
from luban.layers.nearest import nearest, nearest_to


def users(count: int = 31, items: int = 17, seed: int = 0) -> csr_array:
    return csr_array((np.random.default_rng(seed).random((count, items)) < 0.3).astype(np.float32))


def test_relaxed_without_relaxing_is_ease() -> None:
    x = users().toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(17))
    ease = np.eye(17) - p / np.diagonal(p)
    np.testing.assert_allclose(relaxed(gram(users()), penalty=3.0, relax=0.0, dropout=0.0), ease, atol=1e-10)


def test_relaxed_holds_its_constraint_and_is_the_minimum() -> None:
    """The diagonal stays below ξ, and no other weights with such a diagonal have a smaller ridge loss."""
    x, relax, penalty = users().toarray().astype(np.float64), 0.3, 3.0
    weight = relaxed(gram(users()), penalty=penalty, relax=relax, dropout=0.0)
    assert np.diagonal(weight).max() <= relax + 1e-12
    loss = lambda b: np.square(x - x @ b).sum() + penalty * np.square(b).sum()  # noqa: E731
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = weight + rng.normal(0, 0.01, weight.shape)
        np.fill_diagonal(other, np.minimum(np.diagonal(other), relax))
        assert loss(other) > loss(weight)


def ials_loss(x: np.ndarray, left: np.ndarray, right: np.ndarray, unobserved: float, penalty: float) -> float:
    """The objective of Rendle et al. 2021, written out, exponent 1."""
    scores = left @ right.T
    weigh = [(x > 0).sum(1) + unobserved * x.shape[1], (x > 0).sum(0) + unobserved * x.shape[0]]
    ridge = sum((w * np.square(f).sum(1)).sum() for w, f in zip(weigh, (left, right), strict=True))
    return float((np.square(scores - 1) * (x > 0)).sum() + unobserved * np.square(scores).sum() + penalty * ridge)


@pytest.mark.parametrize(("block", "steps"), [(5, 0), (2, 0), (5, 3), (5, 1)])
def test_alternating_least_squares_come_to_a_minimum(block: int, steps: int) -> None:
    x, penalty, unobserved = users(), 0.05, 0.2
    spans = both_sides(x)
    torch.manual_seed(0)
    settings = {"factors": 5, "unobserved": unobserved, "penalty": penalty, "exponent": 1.0, "block": block, "steps": steps, "scale": 0.1}
    right = list(factorise(*spans, sweeps=60, **settings))[-1][1]
    left = fold_in(spans[0], right, unobserved=unobserved, penalty=penalty, exponent=1.0)
    least = ials_loss(x.toarray(), left.double().numpy(), right.double().numpy(), unobserved, penalty)
    rng = np.random.default_rng(0)
    for _ in range(30):
        moved = left.double().numpy() + rng.normal(0, 0.01, left.shape)
        assert ials_loss(x.toarray(), moved, right.double().numpy(), unobserved, penalty) > least


@pytest.mark.parametrize(("unobserved", "penalty", "spread"), [(0.3, 0.3, 1.0), (0.1, 1e-3, 1.0), (1e-2, 1e-2, 30.0)])
@pytest.mark.parametrize("turned", [False, True])
def test_conjugate_gradients_come_to_what_a_direct_solver_finds_in_float64(
    unobserved: float, penalty: float, spread: float, *, turned: bool
) -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((23, 61)) < 0.3) * rng.integers(1, 5, (23, 61))
    dense[5] = 0
    x = csr_array(dense.astype(np.float32))
    right = torch.from_numpy(rng.normal(0, np.geomspace(spread, 1, 13), (61, 13)).astype(np.float32))
    right = upright(right)[0] if turned else right
    found = fold_in(Spans(x.indptr.astype(np.int64), x.indices, x.data), right, unobserved=unobserved, penalty=penalty, exponent=0.5)
    other, taken = right.double().numpy(), x.toarray().astype(np.float64)
    damping = penalty * ((taken > 0).sum(1) + unobserved * 61) ** 0.5
    matrices = np.einsum("nm,mf,mg->nfg", taken, other, other) + unobserved * other.T @ other + damping[:, None, None] * np.eye(13)
    exact = np.linalg.solve(matrices, (taken @ other)[..., None])[..., 0]
    np.testing.assert_allclose(found.numpy(), exact, rtol=2e-4, atol=2e-5 * np.abs(exact).max())
    assert not found[5].any()


@pytest.mark.parametrize("items", [5, 61])
def test_items_turned_upright_keep_every_product(items: int) -> None:
    """Fewer items than factors leave axes without length."""
    right = torch.randn(items, 13, generator=torch.Generator().manual_seed(1)) @ torch.diag(torch.logspace(0, -3, 13))
    turned, axes = upright(right)
    torch.testing.assert_close(turned @ turned.T, right @ right.T)
    torch.testing.assert_close(turned @ axes.T, right)
    common = turned.double().T @ turned.double()
    assert float((common - common.diagonal().diag()).abs().max()) < 1e-6 * float(common.max())


def test_what_is_kept_of_the_items_ends_with_them() -> None:
    """Items that change in place, as a bundle's weights are filled in, are looked at again."""
    x, settings = users(), {"unobserved": 0.1, "penalty": 0.1, "exponent": 0.5}
    spans = Spans(x.indptr.astype(np.int64), x.indices, x.data)
    one, other = torch.randn(2, 17, 5, generator=torch.Generator().manual_seed(3))
    item = one.clone()
    first = fold_in(spans, item, **settings)
    torch.testing.assert_close(fold_in(spans, item, **settings), first)
    item.copy_(other)
    torch.testing.assert_close(fold_in(spans, item, **settings), fold_in(spans, other.clone(), **settings))
    assert not torch.allclose(fold_in(spans, item, **settings), first)


def test_few_preconditioned_steps_descend_as_far_as_the_least_squares() -> None:
    x = users(61, 29)
    spans = both_sides(x)
    found = []
    for steps in (0, 2):
        torch.manual_seed(0)
        settings = {"factors": 7, "unobserved": 0.2, "penalty": 0.05, "exponent": 1.0, "block": 7, "steps": steps, "scale": 0.1}
        right = list(factorise(*spans, sweeps=6, **settings))[-1][1]
        left = fold_in(spans[0], right, unobserved=0.2, penalty=0.05, exponent=1.0)
        found.append(ials_loss(x.toarray(), left.double().numpy(), right.double().numpy(), 0.2, 0.05))
    assert found[1] == pytest.approx(found[0], rel=0.01)


def test_a_user_folded_in_does_not_depend_on_the_others() -> None:
    x = users()
    right = torch.randn(17, 5, generator=torch.Generator().manual_seed(0))
    spans = Spans(x.indptr.astype(np.int64), x.indices, x.data)
    whole = fold_in(spans, right, unobserved=0.1, penalty=0.1, exponent=0.5)
    row = x[[7]]
    alone = fold_in(Spans(row.indptr.astype(np.int64), row.indices, row.data), right, unobserved=0.1, penalty=0.1, exponent=0.5)
    torch.testing.assert_close(alone[0], whole[7])


# --- neighbours


def plain_similarity(x: np.ndarray, shrink: float) -> np.ndarray:
    """The articles' formula, s = Σ r r / (√d √d), shrunk; loop by loop."""
    out = np.zeros((len(x), len(x)))
    for u in range(len(x)):
        for v in range(len(x)):
            both = ((x[u] > 0) & (x[v] > 0)).sum()
            if u != v and both:
                out[u, v] = (x[u] * x[v]).sum() / np.sqrt((x[u] ** 2).sum() * (x[v] ** 2).sum()) * both / (both + shrink)
    return out


@pytest.mark.parametrize("shrink", [0.0, 7.0])
def test_neighbours_are_those_of_the_formula(shrink: float) -> None:
    x = users(23, 19)
    known = plain_similarity(x.toarray(), shrink)
    for start, stop, near, similarity in nearest(x, 5, shrink):
        assert (start, stop) == (0, 23)
        np.testing.assert_allclose(similarity, -np.sort(-known, axis=1)[:, :5], atol=1e-6)
        np.testing.assert_allclose(np.take_along_axis(known, near.astype(int), 1), similarity, atol=1e-6)
    near, similarity = nearest_to(x[[3]], x, 40, shrink, own=np.array([-1]))
    assert near.shape == (1, 23)
    assert near[0, 0] == 3, "a stranger with the same history is the nearest"
