"""Reliability curve, confusion, class scores, residuals and ROC, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle
from test_metrics import many_labels, one_class, quantity

from luban.columns import Columns
from luban.evaluation.calibration import reliability
from luban.evaluation.confusion import UNSEEN, confusion, per_class, worst_pairs
from luban.evaluation.metrics import score
from luban.evaluation.residuals import histogram, regression
from luban.evaluation.roc import roc

NAMES = ["红", "green", "蓝", "grey", "black"]


@pytest.mark.parametrize("marks", [one_class(seed=3), many_labels(seed=3)], ids=["one", "many"])
def test_reliability_holds_the_calibration_error(marks):
    bins = reliability(marks)
    total = sum(part["count"] for part in bins)
    assert total == (len(marks) if "label" in marks else len(marks) * 7)
    gaps = [part["count"] * abs(part["confidence"] - part["accuracy"]) for part in bins if part["count"]]
    assert sum(gaps) / total == pytest.approx(score("ece", marks))
    assert all(part["low"] - 1e-9 < part["confidence"] < part["high"] + 1e-9 for part in bins if part["count"])
    assert all(part["accuracy"] is None for part in bins if not part["count"])


def test_confusion_equals_scikit_learn():
    marks = one_class(seed=6)
    table = confusion(marks, NAMES)
    assert table["labels"] == NAMES
    assert table["counts"] == oracle.confusion_matrix(marks["label"], marks["guess"]).tolist()


def test_unseen_labels_have_a_row_of_their_own():
    marks = one_class(seed=6)
    label = np.where(np.arange(len(marks)) % 19 == 0, -2, marks["label"])
    table = confusion(Columns(marks.data | {"label": label}, marks.row), NAMES)
    assert table["labels"] == [*NAMES, UNSEEN]
    assert sum(table["counts"][-1]) == (label == -2).sum()
    assert all(row[-1] == 0 for row in table["counts"])


def test_worst_pairs_come_first():
    pairs = worst_pairs({"labels": ["a", "b", "c"], "counts": [[90, 3, 7], [0, 5, 5], [0, 0, 9]]})
    assert [(pair["label"], pair["guess"], pair["count"]) for pair in pairs] == [("a", "c", 7), ("b", "c", 5), ("a", "b", 3)]
    assert pairs[1]["share"] == 0.5


def test_class_scores_equal_scikit_learn():
    for marks, truth in ((one_class(seed=7), "label"), (many_labels(seed=7, classes=5), "labels")):
        known = oracle.precision_recall_fscore_support(marks[truth], marks["guess"])
        for i, found in enumerate(per_class(marks, NAMES)):
            assert [found["precision"], found["recall"], found["f1"], found["count"]] == pytest.approx([column[i] for column in known])


def test_a_class_without_examples_has_no_recall():
    found = per_class(Columns({"label": np.array([0, 0, -2]), "guess": np.array([0, 1, 1])}, np.arange(3)), ["a", "b", "c"])
    assert found[1] == {"label": "b", "count": 0, "precision": 0.0, "recall": None, "f1": 0.0}
    assert found[2]["f1"] is None


def test_residuals_are_all_counted():
    marks = quantity()
    found = histogram(marks, num_bins=23)
    assert sum(found["counts"]) == len(marks)
    assert len(found["edges"]) == 24
    errors = marks["answer"] - marks["truth"]
    assert found["edges"][0] == pytest.approx(np.quantile(errors, 0.005))
    constant = Columns({"truth": np.zeros(7), "answer": np.ones(7)}, np.arange(7))
    assert sum(histogram(constant)["counts"]) == 7


def test_points_of_a_regression_are_bounded_and_paired():
    marks = quantity()
    points = regression(marks, most=31)["points"]
    assert len(points) == 31
    assert {tuple(point) for point in points} <= set(zip(marks["truth"].tolist(), marks["answer"].tolist(), strict=True))


def test_roc_encloses_the_auc():
    marks = one_class(classes=2, seed=8)
    curve = np.array(roc(marks))
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    area = (np.diff(curve[:, 0]) * (curve[1:, 1] + curve[:-1, 1]) / 2).sum()
    assert area == pytest.approx(score("auc", marks))
    alone = marks.take((marks["label"] == 0).nonzero()[0])
    assert roc(alone) == []
