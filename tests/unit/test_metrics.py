"""Metrics against scikit-learn, on ties, absent classes and labels never seen in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as oracle

from luban.columns import Columns
from luban.errors import DataError, RecipeError, TrainingError
from luban.evaluation.metrics import find, metrics, score, scores

EXACT = {"abs": 1e-9, "rel": 1e-9}


def one_class(*, count: int = 211, classes: int = 5, seed: int = 0) -> Columns:
    """Chances of a few distinct values, so that most are tied."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, count)
    chance = (rng.multinomial(19, 0.3 * np.eye(classes)[label] + 0.7 * rng.dirichlet(np.ones(classes), count)) + 1) / (19 + classes)
    return Columns({"label": label, "guess": chance.argmax(1), "chance": chance}, np.arange(count))


def many_labels(*, count: int = 197, classes: int = 7, seed: int = 1) -> Columns:
    rng = np.random.default_rng(seed)
    labels = rng.random((count, classes)) < 0.3
    chance = np.clip(np.round(0.4 * labels + 0.6 * rng.random((count, classes)), 1), 0.05, 0.95)
    return Columns({"labels": labels, "guess": chance >= 0.5, "chance": chance}, np.arange(count))


def quantity(*, count: int = 193, offset: float = 0.0) -> Columns:
    rng = np.random.default_rng(2)
    truth = rng.normal(3, 2, count) + offset
    return Columns({"truth": truth, "answer": truth + rng.standard_t(3, count)}, np.arange(count))


def mean_area(truth: np.ndarray, chance: np.ndarray, function) -> float:
    """Mean of a binary score over the columns that hold both."""
    known = [k for k in range(chance.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    return float(np.mean([function(truth[:, k], chance[:, k]) for k in known]))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_one_class_equals_scikit_learn(classes, seed):
    marks = one_class(classes=classes, seed=seed)
    label, guess, chance = marks["label"], marks["guess"], marks["chance"]
    assert len(np.unique(chance[:, 0])) <= 20  # ties there are
    known = {
        "accuracy": oracle.accuracy_score(label, guess),
        "balanced_accuracy": oracle.balanced_accuracy_score(label, guess),
        "macro_f1": oracle.f1_score(label, guess, average="macro"),
        "log_loss": oracle.log_loss(label, chance),
        "brier": oracle.brier_score_loss(label, chance[:, 1] if classes == 2 else chance),
        "auc": oracle.roc_auc_score(label, chance[:, 1] if classes == 2 else chance, multi_class="ovr"),
        "average_precision": oracle.average_precision_score(label, chance[:, 1] if classes == 2 else chance, average="macro"),
    }
    assert scores(known, marks) == pytest.approx(known, **EXACT)


def test_absent_classes_are_left_out_of_the_mean():
    """Class 3 of 5 never occurs, nor is it guessed."""
    marks = one_class(classes=4, seed=5)
    place = np.array([0, 1, 2, 4])
    chance = np.zeros((len(marks), 5))
    chance[:, place] = marks["chance"]
    wider = Columns({"label": place[marks["label"]], "guess": place[marks["guess"]], "chance": chance}, marks.row)
    truth = wider["label"][:, None] == np.arange(5)
    assert score("macro_f1", wider) == pytest.approx(score("macro_f1", marks), **EXACT)
    assert score("balanced_accuracy", wider) == pytest.approx(score("balanced_accuracy", marks), **EXACT)
    assert score("auc", wider) == pytest.approx(mean_area(truth, chance, oracle.roc_auc_score), **EXACT)
    assert score("average_precision", wider) == pytest.approx(mean_area(truth, chance, oracle.average_precision_score), **EXACT)
    assert score("log_loss", wider) == pytest.approx(oracle.log_loss(wider["label"], chance, labels=range(5)), abs=1e-6)


def test_a_label_never_seen_in_training_is_an_error_but_has_no_chance():
    marks = one_class(classes=3, seed=4)
    label = np.where(np.arange(len(marks)) % 7 == 3, -2, marks["label"])
    unseen, known = Columns(marks.data | {"label": label}, marks.row), marks.take((label >= 0).nonzero()[0])
    assert score("accuracy", unseen) == pytest.approx(oracle.accuracy_score(label, marks["guess"]), **EXACT)
    assert score("macro_f1", unseen) == pytest.approx(oracle.f1_score(label, marks["guess"], average="macro"), **EXACT)
    for name in ("log_loss", "brier", "auc", "average_precision", "ece"):
        assert score(name, unseen) == pytest.approx(score(name, known), **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_many_labels_equal_scikit_learn(seed):
    marks = many_labels(seed=seed)
    labels, guess, chance = marks["labels"], marks["guess"], marks["chance"]
    known = {
        "macro_f1": oracle.f1_score(labels, guess, average="macro"),
        "micro_f1": oracle.f1_score(labels, guess, average="micro"),
        "subset_accuracy": oracle.accuracy_score(labels, guess),
        "hamming_loss": oracle.hamming_loss(labels, guess),
        "auc": oracle.roc_auc_score(labels, chance, average="macro"),
        "average_precision": oracle.average_precision_score(labels, chance, average="macro"),
        "log_loss": np.mean([oracle.log_loss(labels[:, k], chance[:, k]) for k in range(7)]),
        "brier": np.mean([oracle.brier_score_loss(labels[:, k], chance[:, k]) for k in range(7)]),
    }
    assert scores(known, marks) == pytest.approx(known, **EXACT)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_a_quantity_equals_scikit_learn(offset):
    marks = quantity(offset=offset)
    truth, answer = marks["truth"], marks["answer"]
    known = {
        "mae": oracle.mean_absolute_error(truth, answer),
        "mse": oracle.mean_squared_error(truth, answer),
        "rmse": oracle.root_mean_squared_error(truth, answer),
        "r2": oracle.r2_score(truth, answer),
        "median_absolute_error": oracle.median_absolute_error(truth, answer),
    }
    assert scores(known, marks) == pytest.approx(known, **EXACT)
    even = marks.take(np.arange(192))
    known_even = oracle.median_absolute_error(even["truth"], even["answer"])
    assert score("median_absolute_error", even) == pytest.approx(known_even, **EXACT)


def test_equal_chances_rank_nothing():
    """The trap of ranking by strict `>`: an untrained model whose scores all tie."""
    label = np.arange(101) % 2
    marks = Columns({"label": label, "guess": label * 0, "chance": np.full((101, 2), 0.5)}, np.arange(101))
    assert score("auc", marks) == 0.5
    assert score("average_precision", marks) == pytest.approx(50 / 101)


def test_ece_by_hand():
    """Ten answers of confidence 0.65, six right; five of 0.95, all right."""
    sure = np.array([0.65] * 10 + [0.95] * 5)
    label = np.array([0] * 6 + [1] * 4 + [0] * 5)
    marks = Columns({"label": label, "guess": label * 0, "chance": np.stack([sure, 1 - sure], 1)}, np.arange(15))
    assert score("ece", marks) == pytest.approx((10 * 0.05 + 5 * 0.05) / 15)


@pytest.mark.parametrize("name", ["auc"])
def test_one_class_only_defines_no_auc(name):
    marks = one_class(classes=2)
    alone = marks.take((marks["label"] == 1).nonzero()[0])
    assert math.isnan(score(name, alone))
    assert score("accuracy", alone) == oracle.accuracy_score(alone["label"], alone["guess"])


def test_a_constant_truth_defines_no_r2():
    assert math.isnan(score("r2", Columns({"truth": np.full(7, 1e9 + 0.1), "answer": np.arange(7.0)}, np.arange(7))))


@pytest.mark.parametrize("marks", [one_class(), many_labels(), quantity()], ids=["one", "many", "quantity"])
def test_no_examples_define_no_score(marks):
    empty = marks.take(np.arange(0))
    fitting = [metric for metric in metrics().values() if metric.fits(marks.data)]
    assert len(fitting) >= 5
    assert all(math.isnan(metric(empty)) for metric in fitting)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_an_error(bad):
    marks = one_class()
    marks["chance"][13, 2] = bad
    with pytest.raises(TrainingError, match="L350") as error:
        score("accuracy", Columns(marks.data, marks.row + 1000))
    assert "1013" in str(error.value)
    marks = quantity()
    marks["answer"][17] = bad
    with pytest.raises(TrainingError, match="L350"):
        score("rmse", marks)


def test_a_target_that_is_not_finite_is_an_error():
    marks = quantity()
    marks["truth"][17] = np.nan
    with pytest.raises(DataError, match="L250"):
        score("mae", marks)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(RecipeError, match="L150") as error:
        find("acuracy")
    assert error.value.nearest() == "accuracy"


def test_a_metric_of_another_task_is_an_error():
    with pytest.raises(RecipeError, match="L151") as error:
        score("rmse", one_class())
    assert "accuracy" in error.value.allowed
    assert "rmse" not in error.value.allowed


def test_a_score_that_is_not_defined_never_beats():
    assert find("accuracy").beats(0.8, 0.7)
    assert not find("accuracy").beats(0.7, 0.7)
    assert find("rmse").beats(0.7, 0.8)
    assert not find("auc").beats(math.nan, 0.1)
    assert find("auc").beats(0.1, math.nan)
    assert find("rmse").beats(1e300, find("rmse").worst)
    assert find("auc").beats(0.0, find("auc").worst)


def test_every_metric_says_its_name_range_and_titles():
    for name, metric in metrics().items():
        assert metric.name == name
        assert all(metric.titles)
        assert metric.bounds[0] < metric.bounds[1]
        assert metric.needs


@pytest.mark.parametrize("decimals", [1, 12])
@pytest.mark.parametrize("name", ["auc", "average_precision"])
def test_rows_that_are_counted_more_than_once_weigh_as_much(name: str, decimals: int) -> None:
    rng = np.random.default_rng(3)
    label, chance = rng.integers(-1, 4, 150), np.round(rng.random((150, 5)), decimals)  # some of no class, a class of nobody
    tally = find(name).ready(Columns({"label": label, "chance": chance}, np.arange(150)))
    counts = rng.multinomial(150, np.ones(150) / 150, size=3).astype(np.float64)
    known = label >= 0
    function = oracle.roc_auc_score if name == "auc" else oracle.average_precision_score
    wanted = [np.mean([function(label[known] == k, chance[known, k], sample_weight=row[known]) for k in range(4)]) for row in counts]
    assert tally.score(counts) == pytest.approx(wanted, **EXACT)
