"""TF-IDF and the solvers against scikit-learn's vectoriser, logistic regression and ridge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from luban.models import linear
from luban.models.linear import Linear, against_rest

TEXT = {"kind": "text"}
NUMBER = {"kind": "number"}
BUCKETS = 2**18


class Batch:
    def __init__(self, inputs: dict[str, torch.Tensor], target: torch.Tensor) -> None:
        self.inputs, self.target, self.weights = inputs, target, None


def texts(count: int, seed: int) -> torch.Tensor:
    """(B, T) token ids, 0 = padding on the right, some texts empty."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 14, (count, 11))
    lengths = rng.integers(0, 12, count)
    return torch.from_numpy(np.where(np.arange(11) < lengths[:, None], ids, 0))


def words(ids: torch.Tensor) -> list[list[int]]:
    return [[i for i in row if i] for row in ids.tolist()]


def grams(tokens: list[int]) -> list[tuple[int, ...]]:
    return [tuple(tokens[i : i + n]) for n in (1, 2) for i in range(len(tokens) - n + 1)]


def net_of(specs: dict[str, Any], outputs: int, aim: str, **config: Any) -> Linear:
    return Linear(Linear.Config(**({"longest": 2, "buckets": BUCKETS, "strength": 3.0} | config)), specs, outputs, aim=aim)


def solved(net: Linear, inputs: dict[str, torch.Tensor], target: torch.Tensor) -> Linear:
    cut = len(target) // 2
    halves = [({k: v[:cut] for k, v in inputs.items()}, target[:cut]), ({k: v[cut:] for k, v in inputs.items()}, target[cut:])]
    with torch.no_grad():
        list(net.solve([Batch(*half) for half in halves]))
    return net


def vectoriser() -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=lambda row: grams(row), sublinear_tf=True)


def test_tfidf_is_scikit_learns() -> None:
    train, fresh = texts(211, 0), texts(97, 1)
    net = solved(net_of({"t": TEXT}, 1, "label"), {"t": train}, torch.arange(211) % 2)
    oracle = vectoriser().fit(words(train))
    expected = oracle.transform(words(fresh))
    found, _ = net.matrix([Batch({"t": fresh}, torch.zeros(97))])
    assert np.abs((found @ found.T - expected @ expected.T).toarray()).max() < 1e-5


@pytest.mark.parametrize("labels", [2, 3])
def test_labels_of_texts_are_each_against_the_rest_weighed_by_log_count_ratios(labels: int) -> None:
    train, fresh = texts(211, 0), texts(97, 1)
    target = ((train == 3).sum(1) + (train == 5).sum(1)).clamp(max=labels - 1).numpy()
    net = solved(net_of({"t": TEXT}, 1 if labels == 2 else labels, "label"), {"t": train}, torch.from_numpy(target))
    oracle = vectoriser().fit(words(train))
    x, y = oracle.transform(words(train)), oracle.transform(words(fresh))
    expected = []
    for label in range(1 if labels == 2 else 0, labels):
        sides = (target == label, target != label)
        p, q = (np.asarray((x[rows] > 0).sum(0)).ravel() + 1 for rows in sides)  # Wang and Manning 2012, eq. 2
        ratio = np.log((p / p.sum()) / (q / q.sum()))
        model = LogisticRegression(C=3.0, solver="liblinear", tol=1e-2, random_state=0).fit(x.multiply(ratio).tocsr(), target == label)
        expected.append(model.predict_proba(y.multiply(ratio).tocsr())[:, 1])
    logits = net({"t": fresh})
    found = logits.sigmoid().T if labels == 2 else logits.exp().T
    np.testing.assert_allclose(found.numpy(), expected, atol=0.03)


@pytest.mark.parametrize("labels", [2, 3])
def test_labels_of_numbers_are_logistic_regression(labels: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(211, 2)).astype(np.float32), rng.normal(size=(97, 2)).astype(np.float32)
    target = np.digitize(x[:, 0] - x[:, 1] + rng.normal(size=211), np.linspace(-1, 1, labels + 1)[1:-1])
    net = solved(
        net_of({"a": NUMBER, "b": NUMBER}, 1 if labels == 2 else labels, "label"),
        {"a": torch.from_numpy(x[:, 0]), "b": torch.from_numpy(x[:, 1])},
        torch.from_numpy(target),
    )
    logits = net({"a": torch.from_numpy(y[:, 0]), "b": torch.from_numpy(y[:, 1])})
    chances = logits.softmax(1) if labels > 2 else torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1)
    np.testing.assert_allclose(chances.numpy(), LogisticRegression(C=3.0).fit(x, target).predict_proba(y), atol=0.02)


def test_a_row_answers_as_its_features_say() -> None:
    inputs = {"t": texts(83, 0), "u": texts(83, 5), "n": torch.randn(83)}
    net = solved(net_of({"t": TEXT, "n": NUMBER, "u": TEXT}, 3, "label"), inputs, torch.arange(83) % 3)
    features, _ = net.matrix([Batch(inputs, torch.zeros(83))])
    weight = np.concatenate([net.sparse_weight.numpy(), net.dense_weight.numpy()])
    logits = torch.from_numpy(features @ weight + net.bias.numpy())
    torch.testing.assert_close(net(inputs), torch.nn.functional.logsigmoid(logits).float(), rtol=0, atol=1e-4)


def test_numbers_are_ridge_regression_with_a_flag_for_missing() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=211).astype(np.float32), rng.normal(size=211).astype(np.float32)
    a[::7] = np.nan
    y = np.where(np.isnan(a), 5, 2 * np.nan_to_num(a)) - b + rng.normal(0, 0.1, 211)
    inputs = {"a": torch.from_numpy(a), "b": torch.from_numpy(b)}
    net = solved(net_of({"a": NUMBER, "b": NUMBER}, 1, "number", strength=0.5), inputs, torch.from_numpy(y))
    features = np.stack([np.nan_to_num(a), np.isnan(a), b, np.zeros(211)], 1)
    oracle = Ridge(alpha=2.0).fit(features, y)
    np.testing.assert_allclose(net(inputs)[:, 0].numpy(), oracle.predict(features), atol=1e-4)


def test_the_penalty_left_out_is_searched_on_held_out_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(101, 1)).astype(np.float32)
    noise = {f"n{i}": torch.from_numpy(rng.normal(size=101).astype(np.float32)) for i in range(60)}
    specs = {"x": NUMBER} | dict.fromkeys(noise, NUMBER)
    y = torch.from_numpy(x[:, 0] + rng.normal(0, 3, 101))
    searched = solved(net_of(specs, 1, "number", strength=None), {"x": torch.from_numpy(x[:, 0]), **noise}, y)
    strict = solved(net_of(specs, 1, "number", strength=0.3), {"x": torch.from_numpy(x[:, 0]), **noise}, y)
    torch.testing.assert_close(searched.dense_weight, strict.dense_weight)


@pytest.mark.parametrize("found", [(0, 2), (1,)])
def test_labels_that_no_training_row_has_are_out_of_reach(found: tuple[int, ...]) -> None:
    train = texts(83, 0)
    target = torch.tensor(found)[torch.arange(83) % len(found)]
    net = solved(net_of({"t": TEXT}, 4, "label"), {"t": train}, target)
    chances = net({"t": texts(31, 2)}).softmax(1)
    assert chances[:, [label for label in range(4) if label not in found]].max() < 1e-3 or len(found) == 1
    assert set(chances.argmax(1).tolist()) <= set(found)


def test_features_that_no_row_has_change_no_weight() -> None:
    """The solver sees the n-grams that occur; the others stay 0."""
    x = sp.random(61, 7, density=0.5, format="csr", random_state=0)
    goal = np.arange(61) % 3 == 0
    narrow, bias = against_rest(x, [goal], 3.0, 5)
    wide, same = against_rest(sp.hstack([x[:, :5], sp.csr_matrix((61, 997)), x[:, 5:]], format="csr"), [goal], 3.0, 5 + 997)
    assert np.array_equal(np.r_[wide[:5], wide[-2:]], narrow)
    assert np.array_equal(bias, same)
    assert not wide[5:-2].any()


def test_a_sample_that_stands_for_many_rows_is_solved_as_they_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "SEARCH_VALUES", 5_000)
    rng = np.random.default_rng(0)
    features = sp.random(200, 50, 0.2, "csr", rng=rng)  # 2,000 values
    target = rng.integers(0, 2, 200)
    net = Linear(Linear.Config(longest=1, buckets=1024), {"x": {"kind": "number"}}, 1, aim="label")
    assert linear.choose(features, target, net)[0] > 0  # searched
    net.stands_for = 3.0
    assert linear.choose(features, target, net)[0] == 0


@pytest.mark.parametrize("aim", ["label", "number"])
def test_a_full_matrix_is_kept_dense_and_solved_alike(aim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    inputs = {"x": torch.from_numpy(rng.normal(size=(300, 4, 2)))}
    target = torch.from_numpy(rng.integers(0, 3, 300) if aim == "label" else rng.normal(size=300))
    specs, found = {"x": {"kind": "series", "longest": 4, "numbers": 2}}, []
    for full in (0.3, 2.0):
        monkeypatch.setattr(linear, "FULL", full)
        net = net_of(specs, 3 if aim == "label" else 1, aim)
        assert isinstance(net.matrix([Batch(inputs, target)])[0], np.ndarray) == (full < 1)
        found.append(solved(net, inputs, target))
    assert torch.allclose(found[0].dense_weight, found[1].dense_weight, atol=1e-5)
    assert torch.allclose(found[0].bias, found[1].bias, atol=1e-5)
