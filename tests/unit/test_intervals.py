"""Intervals: coverage by simulation, agreement of the fast paths with plain resampling, pairs, groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luban.columns import Columns
from luban.errors import TrainingError
from luban.evaluation import intervals
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import find


def marks_of(right: np.ndarray) -> Columns:
    """Examples guessed right or not, with chances that go with it."""
    rng = np.random.default_rng(len(right))
    label = rng.integers(0, 3, len(right))
    guess = np.where(right, label, (label + 1) % 3)
    chance = 0.6 * np.eye(3)[guess] + 0.4 * rng.dirichlet(np.ones(3), len(right))
    return Columns({"label": label, "guess": guess, "chance": chance}, np.arange(len(right)))


def plain(metric, marks, draws: int, seed: int = 1) -> np.ndarray:
    """The bootstrap as the book has it."""
    rng = np.random.default_rng(seed)
    return np.array([metric(marks.take(rng.integers(0, len(marks), len(marks)))) for _ in range(draws)])


def test_the_interval_of_accuracy_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        low, high = interval(find("accuracy"), marks_of(rng.random(307) < 0.8), draws=400)
        covered += low <= 0.8 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_the_interval_of_a_mean_covers_the_truth():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        truth = rng.normal(0, 1, 211)
        low, high = interval(find("mae"), Columns({"truth": truth, "answer": truth + rng.normal(0, 1, 211)}, np.arange(211)), draws=300)
        covered += low <= math.sqrt(2 / math.pi) <= high
    assert 0.89 <= covered / 200 <= 0.99


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision", "log_loss", "brier", "ece"])
def test_counting_equals_taking_rows(name):
    """Every fast path gives the spread of the plain bootstrap."""
    marks = marks_of(np.random.default_rng(3).random(401) < 0.7)
    metric, drawn = find(name), plain(find(name), marks, 600)
    low, high = interval(metric, marks, draws=2000)
    width = np.ptp(np.quantile(drawn, [0.025, 0.975]))
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist(), abs=0.17 * width)


@pytest.mark.parametrize("name", ["rmse", "r2", "median_absolute_error"])
def test_counting_equals_taking_rows_of_a_quantity(name):
    rng = np.random.default_rng(4)
    truth = rng.normal(5, 2, 401)
    marks = Columns({"truth": truth, "answer": truth + rng.normal(0, 1, 401)}, np.arange(401))
    drawn = np.quantile(plain(find(name), marks, 600), [0.025, 0.975])
    assert list(interval(find(name), marks, draws=2000)) == pytest.approx(drawn.tolist(), abs=0.17 * np.ptp(drawn))


@pytest.mark.parametrize("name", ["auc", "log_loss"])
def test_many_examples_are_narrowed_from_a_part(name, monkeypatch):
    marks = marks_of(np.random.default_rng(5).random(9001) < 0.7)
    whole = interval(find(name), marks, draws=400)
    monkeypatch.setattr(intervals, "MOST_EXAMPLES", 2003)
    part = interval(find(name), marks, draws=400)
    assert list(part) == pytest.approx(list(whole), abs=0.35 * (whole.high - whole.low))
    assert part.low < find(name)(marks) < part.high


def test_many_passes_are_made_over_fewer_examples():
    assert intervals.affordable(200) == 20_000
    assert intervals.affordable(10 * 1000) == 10_000
    assert intervals.affordable(1000 * 1000) == 2_000


def test_too_many_cells_fall_back_to_examples(monkeypatch):
    marks = marks_of(np.random.default_rng(6).random(503) < 0.7)
    by_cells = interval(find("macro_f1"), marks)
    monkeypatch.setattr(intervals, "MOST_CELLS", 2)
    by_examples = interval(find("macro_f1"), marks)
    assert by_cells != by_examples
    assert list(by_cells) == pytest.approx(list(by_examples), abs=0.01)


def test_pairs_are_narrower_than_two_intervals():
    rng = np.random.default_rng(7)
    right = rng.random(1009) < 0.8
    better = right | (rng.random(1009) < 0.1)  # 2 points more, nowhere worse
    a, b = marks_of(better), marks_of(right)
    low, high = paired_interval(find("accuracy"), a, b)
    assert low > 0
    assert interval(find("accuracy"), a).low < interval(find("accuracy"), b).high
    assert low < find("accuracy")(a) - find("accuracy")(b) < high
    gain = better.astype(float) - right
    assert high - low == pytest.approx(2 * 1.96 * gain.std() / math.sqrt(1009), rel=0.15)
    assert paired_interval(find("auc"), a, a) == (0.0, 0.0)


def test_pairs_need_the_same_rows():
    marks = marks_of(np.arange(101) % 3 > 0)
    with pytest.raises(TrainingError, match="L351"):
        paired_interval(find("accuracy"), marks, marks.take(np.arange(100)))


@pytest.mark.parametrize("name", ["accuracy", "auc", "log_loss"])
def test_groups_are_drawn_whole(name):
    """Each example eleven times over says no more than once: the interval of the groups stays that of the single ones."""
    single = marks_of(np.random.default_rng(8).random(307) < 0.7)
    copies = single.take(np.repeat(np.arange(307), 11))
    groups = np.array([f"patient {row}" for row in copies.row])
    once, grouped = interval(find(name), single), interval(find(name), copies, groups=groups)
    naive = interval(find(name), copies)
    assert list(grouped) == pytest.approx(list(once), abs=0.15 * (once.high - once.low))
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_a_score_that_is_not_defined_has_no_interval():
    label = np.ones(53, int)
    marks = Columns({"label": label, "guess": label, "chance": np.full((53, 2), 0.5)}, np.arange(53))
    assert all(math.isnan(edge) for edge in interval(find("auc"), marks))
    assert interval(find("accuracy"), marks) == (1.0, 1.0)


def test_rare_positives_leave_out_the_draws_without_them():
    label = np.arange(41) == 7
    marks = Columns({"label": label.astype(int), "guess": label * 0, "chance": np.stack([~label, label], 1) * 0.8 + 0.1}, np.arange(41))
    assert interval(find("auc"), marks) == (1.0, 1.0)


def test_the_same_seed_gives_the_same_interval():
    marks = marks_of(np.arange(211) % 4 > 0)
    assert interval(find("auc"), marks, seed=3) == interval(find("auc"), marks, seed=3) != interval(find("auc"), marks, seed=4)
