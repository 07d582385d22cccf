"""Metrics of search, against counting by hand and scikit-learn; ties count half."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score

from luban.columns import Columns
from luban.errors import TrainingError
from luban.evaluation import retrieval_metrics
from luban.evaluation.metrics import find


def marks(**arrays: object) -> Columns:
    values = {name: np.asarray(array) for name, array in arrays.items()}
    return Columns(values, np.arange(len(values["query"])))  # type: ignore[arg-type]


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    values = rng.normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_ranks_counted_by_hand() -> None:
    east, north, west = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
    found = retrieval_metrics.ranks(marks(query=[east, north, west], partner=[east, west, west]))
    assert found.tolist() == [0.0, 1.0, 0.5], "north: all three alike; west: two of them"
    found = retrieval_metrics.ranks(marks(query=[east, [0.9, 0.1], west, north], group=[0, 0, 0, 1]))
    assert found[:3].tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(found[3]), "nobody belongs to it"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_mean_reciprocal_rank_is_that_of_scikit_learn(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_metrics, "BLOCK", 7)
    rng = np.random.default_rng(seed)
    query, partner = unit(rng, 53, 5), unit(rng, 53, 5)
    expected = label_ranking_average_precision_score(np.eye(53), query @ partner.T)
    assert find("retrieval_mrr")(marks(query=query, partner=partner)) == pytest.approx(expected, rel=1e-6)


def test_recall_is_a_share_and_groups_leave_out_who_is_alone() -> None:
    rng = np.random.default_rng(2)
    query, group = unit(rng, 61, 4), np.r_[np.arange(60) % 7, 99]
    score = query @ query.T
    np.fill_diagonal(score, -9)
    for count in (1, 5, 10):
        first = np.argsort(-score, axis=1)[:, :count]
        expected = (group[first] == group[:, None]).any(1)[:60].mean()
        assert find(f"retrieval_at_{count}")(marks(query=query, group=group)) == pytest.approx(expected)


def test_vectors_that_are_all_alike_find_nothing() -> None:
    same = np.ones((41, 3), np.float32)
    assert find("retrieval_at_1")(marks(query=same, partner=same)) == 0
    with pytest.raises(TrainingError):
        find("retrieval_at_1")(marks(query=same * np.nan, partner=same))
