"""Metrics of lists against hand calculations and another library's code, over the same lists."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from luban.columns import Columns
from luban.evaluation.intervals import interval
from luban.evaluation.metrics import find, metrics, score
from luban.recommending.lists import CUTOFFS

HAND = {
    "recall_at_5": (2 / 3 + 1 / 7) / 2,
    "precision_at_5": (2 / 5 + 1 / 5) / 2,
    "hit_rate_at_1": 0.5,
    "hit_rate_at_5": 1.0,
    "mrr_at_5": (1 + 1 / 4) / 2,
    "map_at_5": ((1 + 2 / 3) / 3 + (1 / 4) / 5) / 2,
    "ndcg_at_5": ((1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3) + 1 / np.log2(4)) + (1 / np.log2(5)) / sum(1 / np.log2(np.arange(2, 7)))) / 2,
}


def marks_of(hits: np.ndarray, relevant: np.ndarray, items: int = 211) -> Columns:
    """Lists of 100 places; item codes and shares that tell the metrics apart."""
    count = len(hits)
    rng = np.random.default_rng(count)
    listed = np.stack([rng.permutation(items)[:100] for _ in range(count)])
    data = {"hits": hits, "relevant": relevant, "listed": listed, "share": (listed + 1) / items, "catalogue": np.full(count, items)}
    data["apart"] = np.where(np.arange(6) == 0, -1.0, rng.random((count, 6)))
    return Columns(data, np.arange(count))


def three_users() -> Columns:
    """Hits at places 1 and 3 of three, at place 4 of seven, and a user of whom nothing is known."""
    hits = np.zeros((3, 100), bool)
    hits[0, [0, 2]] = hits[1, 3] = True
    return marks_of(hits, np.array([3, 7, 0]))


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name: str) -> None:
    assert score(name, three_users()) == pytest.approx(HAND[name], abs=1e-12)


@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_gain_and_precision_equal_scikit_learn(cutoff: int) -> None:
    """Every relevant item stands in the list, so that the library sees the same as we do."""
    rng = np.random.default_rng(cutoff)
    hits = rng.random((53, 100)) < rng.random((53, 1)) * 0.2
    hits[:, 17] = True
    marks, place = marks_of(hits, hits.sum(1)), -np.arange(100.0)
    if cutoff > 1:
        known = np.mean([oracle.ndcg_score(row[None], place[None], k=cutoff) for row in hits.astype(int)])
        assert score(f"ndcg_at_{cutoff}", marks) == pytest.approx(known, abs=1e-9)
    if cutoff == 100:
        assert score("map_at_100", marks) == pytest.approx(np.mean([oracle.average_precision_score(row, place) for row in hits]), abs=1e-9)
    assert score(f"precision_at_{cutoff}", marks) == pytest.approx(hits[:, :cutoff].mean(), abs=1e-12)


def test_what_is_named_is_counted_over_all_users() -> None:
    marks = three_users()
    listed = np.asarray(marks["listed"])[:, :10]
    assert score("coverage_at_10", marks) == len(np.unique(listed)) / 211
    assert score("novelty_at_10", marks) == pytest.approx(-np.log2((listed + 1) / 211).mean())
    assert score("popularity_bias_at_10", marks) == pytest.approx(((listed + 1) / 211).mean())
    assert np.isnan(score("diversity_at_1", marks))
    assert score("diversity_at_10", marks) == pytest.approx(np.asarray(marks["apart"])[:, 2].mean())
    assert np.isnan(interval(find("coverage_at_10"), marks)).all(), "users drawn twice cover less: no interval is one"


def test_a_short_list_names_nothing_in_its_empty_places() -> None:
    marks = three_users()
    listed = np.asarray(marks["listed"]).copy()
    listed[:, 3:] = -1
    short = Columns({**marks.data, "listed": listed}, marks.row)
    assert score("coverage_at_100", short) == len(np.unique(listed[:, :3])) / 211
    assert score("novelty_at_100", short) == pytest.approx(-np.log2((listed[:, :3] + 1) / 211).mean())


def test_users_of_whom_nothing_is_known_count_in_no_mean() -> None:
    marks = three_users()
    for name in HAND:
        assert score(name, marks) == score(name, marks.take(np.array([0, 1])))
    assert np.isnan(score("recall_at_5", marks.take(np.array([2]))))


def test_each_has_a_name_in_both_languages() -> None:
    for name, metric in metrics().items():
        if "_at_" in name and not name.startswith(("retrieval", "passage")):
            assert all(metric.titles), name
            assert metric.titles[0].endswith(f"@{name.rsplit('_', 1)[1]}")
