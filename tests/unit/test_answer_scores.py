"""Exact match and F1 against the official scripts' rules, thresholds against every other, Platt's curve against a plain search."""

from __future__ import annotations

import re
import string
from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize

from luban.answering.calibration import NEVER, best_threshold, logistic, platt
from luban.answering.scoring import score, segments
from luban.columns import Columns
from luban.evaluation.metrics import find


def normalize_answer(text: str) -> str:
    """As evaluate-v2.0.py of SQuAD has it."""
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text).split())


def official(truth: str, answer: str) -> tuple[float, float]:
    """compute_exact and compute_f1 of the same script."""
    gold, pred = normalize_answer(truth).split(), normalize_answer(answer).split()
    exact = float(normalize_answer(truth) == normalize_answer(answer))
    same = sum((Counter(gold) & Counter(pred)).values())
    if not gold or not pred:
        return exact, float(gold == pred)
    if same == 0:
        return exact, 0.0
    precision, recall = same / len(pred), same / len(gold)
    return exact, 2 * precision * recall / (precision + recall)


WORDS = ("the", "a", "An", "saw,", "plane", "U.S.", "1,000", "wood-work", "it's", "Theatre", "")


def test_words_are_scored_as_squad_scores_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        texts = [[" ".join(rng.choice(WORDS, rng.integers(0, 5))) for _ in range(n)] for n in (1, 3)]
        truths = [t for t in texts[1] if normalize_answer(t)] or [""]
        expected = [max(official(t, texts[0][0])[k] for t in truths) for k in range(2)]
        assert score(texts[0][0], texts[1]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "truths", "exact", "found"),
    [
        ("鲁国人。", ["鲁国人"], 1, 1),
        ("鲁国", ["鲁国人"], 0, 0.8),  # 2 of 2, 2 of 3
        ("他是鲁国的人", ["鲁国人"], 0, 4 / 9),  # the longest piece has 2 characters: 2 of 6, 2 of 3
        ("人国鲁", ["鲁国人"], 0, 1 / 3),  # characters in another order are no piece
        ("公元前507年", ["507年"], 0, 2 * 2 / (2 + 5)),  # 公 元 前 507 年
        ("Python语言", ["python 语言"], 0, 1),  # spaces count in CMRC's exact match, not in F1
        ("《论语》", ["论语"], 1, 1),
        ("saw", ["锯", "saw"], 1, 1),
        ("", [], 1, 1),
        ("anything", [], 0, 0),
        ("", ["锯"], 0, 0),
        ("the", ["an"], 1, 1),  # nothing is left of either: as good as no answer
    ],
)
def test_known_examples(answer: str, truths: list[str], exact: float, found: float) -> None:
    assert score(answer, truths) == pytest.approx((exact, found))


def test_segments_are_characters_and_words() -> None:
    assert segments("在2018年，GPT-2用于NLP。") == ["在", "2018", "年", "gpt", "2", "用", "于", "nlp"]


def test_the_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for n in (1, 2, 7, 40):
        for _ in range(30):
            scores, gain, refused = rng.integers(0, 9, n).astype(float), rng.random(n), (rng.random(n) < 0.5).astype(float)
            found = best_threshold(scores, gain, refused)
            worth = [np.where(scores > t, gain, refused).sum() for t in (-1, *np.arange(0.5, 9), NEVER)]
            assert np.where(scores > found, gain, refused).sum() == pytest.approx(max(worth))
    assert best_threshold(np.zeros(0), np.zeros(0), np.zeros(0)) == 0.0


def test_platts_curve_is_the_most_likely() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(5, 3, 400)
    right = rng.random(400) < logistic(0.7 * scores - 4)
    slope, offset = platt(scores, right)
    good, bad = right.sum(), (~right).sum()
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))

    def loss(w: np.ndarray) -> float:
        z = w[0] * scores + w[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose([slope, offset], best, rtol=1e-4)


def test_a_score_that_says_nothing_makes_a_flat_curve() -> None:
    assert platt(np.ones(9), np.arange(9) < 3)[0] * 1 == pytest.approx(0, abs=1e-9)
    slope, offset = platt(np.arange(10.0), np.arange(10) < 5)  # the surer, the more wrong
    assert slope == 0.0
    assert logistic(np.array(offset)) == pytest.approx(0.5)
    assert all(np.isfinite(platt(np.array([1.0, 2.0]), np.array([False, True]))))
    assert all(np.isfinite(platt(np.zeros(0), np.zeros(0, bool))))


def test_metrics_of_marks_by_hand() -> None:
    marks = Columns(
        {
            "exact": np.array([1.0, 0.0, 1.0, 0.0]), "f1": np.array([1.0, 0.5, 1.0, 0.0]), "answerable": np.array([1, 1, 0, 0], bool),
            "right": np.array([1, 0, 1, 0], bool), "sure": np.array([0.95, 0.15, 0.95, 0.15]), "rank": np.array([0, 6, -1, 2]),
        },
        np.arange(4),
    )  # fmt: skip
    found = {name: find(name)(marks) for name in ("exact_match", "answer_f1", "has_answer_f1", "no_answer_accuracy", "answer_ece")}
    assert found == pytest.approx(
        {"exact_match": 0.5, "answer_f1": 0.625, "has_answer_f1": 0.75, "no_answer_accuracy": 0.5, "answer_ece": 0.1}
    )
    assert [find(f"passage_recall_at_{k}")(marks) for k in (1, 5, 10)] == [0.5, 0.5, 1.0]
    assert find("passage_mrr")(marks) == pytest.approx((1 + 1 / 7) / 2)
