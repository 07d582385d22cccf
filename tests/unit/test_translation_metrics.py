"""BLEU, chrF and ROUGE against sacreBLEU 2.6.0 and rouge-score 0.1.2 (their printed values here, the libraries where installed), and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from luban.columns import Columns
from luban.evaluation.intervals import interval
from luban.evaluation.metrics import find, score
from luban.rewriting.overlap import chrf_score, common, marks_of
from luban.rewriting.segmenting import form_of, rouge_words, signature, words

ENGLISH = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ('He said: "it costs 3.50 dollars, or 1,000 yen"', 'He said, "it costs 3.50 dollars or 1,000 yen".'),
    ("l'été dernier &amp; l'hiver (2024-25)", "l'été dernier & l'hiver (2024-2025)"),
    ("", "nothing was said"),
    ("one", "one"),
    ("a b c d e f g", "g f e d c b a"),
    ("trailing space  \n", "trailing space"),
]
CHINESE = [
    ("我们今天去北京。", "我们明天去北京吧。"),
    ("他用Python写了3.5个程序，", "他用 Python 写了 3.5 个程序。"),
    ("全角ＡＢＣ、半角ABC", "全角ＡＢＣ，半角ABC"),
    ("“引号”…… – x", "“引号”…… — x"),
    ("", "空"),
    ("很 好", "很好"),
]


def marks(pairs: list[tuple[str, str]], form: str = "13a") -> Columns:
    return Columns(marks_of(*zip(*pairs, strict=True), form), np.arange(len(pairs)))


def test_bleu_by_hand():
    """5 words, 4 right; pairs 3 of 4, triples 2 of 3, fours 1 of 2; as long as the reference."""
    found = marks([("a b c d e", "a b c d f")])
    assert found["bleu"][0].tolist() == [5, 5, 4, 3, 2, 1, 5, 4, 3, 2]
    assert score("bleu", found) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_a_short_answer_is_punished_and_missing_orders_are_smoothed():
    found = marks([("a b x c", "a b c d e f")])  # 3 of 4, 1 of 3, none of 2, none of 1
    expected = math.exp(1 - 6 / 4) * 100 * (3 / 4 * 1 / 3 * 1 / (2 * 2) * 1 / (4 * 1)) ** 0.25
    assert score("bleu", found) == pytest.approx(expected)


def test_chrf_by_hand():
    """ "ab" for "abc": one letter 2/2 and 2/3, pairs 1/1 and 1/2; triples the answer has none of, so they count in neither mean."""
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    assert score("chrf", marks([("ab", "abc")])) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_rouge_by_hand():
    found = marks([("the cat sat here", "the cat lay here now")])  # 3 words, 1 pair, subsequence the-cat-here
    assert found["rouge"][0].tolist() == pytest.approx([2 * 3 / 9, 2 * 1 / 7, 2 * 3 / 9])
    assert rouge_words("Größe 10 很好") == ("größe", "10", "很", "好")


def test_the_longest_common_subsequence_is_that_of_the_table():
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, right = (list(map(str, rng.integers(0, 4, rng.integers(0, 13)))) for _ in range(2))
        table = np.zeros((len(left) + 1, len(right) + 1), int)
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
        assert common(left, right) == table[-1, -1]


PRINTED = {  # by sacreBLEU 2.6.0
    ("13a", "bleu"): 47.3752871058853,
    ("13a", "chrf"): 66.83017128907575,
    ("13a", "chrf_plus_plus"): 64.57203783418286,
    ("zh", "bleu"): 64.8638367851762,
    ("zh", "chrf"): 67.63417013139276,
    ("zh", "chrf_plus_plus"): 53.00420895980938,
}


@pytest.mark.parametrize(("form", "name"), PRINTED)
def test_scores_are_those_that_sacrebleu_prints(form: str, name: str):
    assert score(name, marks(CHINESE if form == "zh" else ENGLISH, form)) == pytest.approx(PRINTED[form, name], abs=1e-10)


def test_scores_equal_sacrebleu():
    metrics = pytest.importorskip("sacrebleu.metrics")
    rng = np.random.default_rng(1)
    letters = ["a", "b", "Zug", "3.5", ",", "é", "&quot;", "-", "x-1", "我", "很好", "。", "Ａ", "\u2026", "\u2014", "\U00020000", "1,000"]
    for form in ("13a", "zh"):
        for _ in range(20):
            pairs = [tuple(" ".join(rng.choice(letters, rng.integers(0, 9))) for _ in range(2)) for _ in range(7)]
            mine, theirs = zip(*pairs, strict=True)
            found = marks(pairs, form)
            oracle = metrics.BLEU(tokenize=form)
            assert score("bleu", found) == pytest.approx(oracle.corpus_score(mine, [theirs]).score, abs=1e-9)
            assert str(oracle.get_signature()).startswith(signature("bleu", form))
            assert [" ".join(words(text, form)) for text in mine] == [oracle.tokenizer(text.rstrip()) for text in mine]
            for name, order in (("chrf", 0), ("chrf_plus_plus", 2)):
                oracle = metrics.CHRF(word_order=order)
                assert score(name, found) == pytest.approx(oracle.corpus_score(mine, [theirs]).score, abs=1e-9)
                assert str(oracle.get_signature()).startswith(signature(name, form))
            assert chrf_score(found["chrf"].astype(float)) * 100 == pytest.approx(
                [metrics.CHRF().sentence_score(a, [b]).score for a, b in pairs], abs=1e-9
            )


def test_rouge_equals_googles():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"])
    rng = np.random.default_rng(2)
    pairs = [tuple(" ".join(rng.choice([*list("abcde,."), "Word", "x1"], rng.integers(1, 15))) for _ in range(2)) for _ in range(60)]
    for (answer, reference), found in zip(pairs, marks(pairs)["rouge"], strict=True):
        known = scorer.score(reference, answer)
        assert found.tolist() == pytest.approx([known[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")])


def test_what_was_not_asked_for_counts_in_no_score():
    pairs = ENGLISH[:3]
    known = Columns(marks_of(*zip(*pairs, strict=True), "13a") | {"confidence": np.array([0.2, 0.9, 0.5])}, np.arange(3))
    answers, references = zip(*pairs, strict=True)
    wider = marks_of([*answers, None, None], [*references, "x", "y"], "13a") | {"confidence": np.array([0.2, 0.9, 0.5, 0.0, 0.0])}
    for name in ("bleu", "chrf", "chrf_plus_plus", "rouge_1", "rouge_2", "rouge_l", "sequence_calibration_error"):
        assert score(name, Columns(wider, np.arange(5))) == pytest.approx(score(name, known)), name


def test_calibration_is_the_gap_of_each_bin():
    """Two answers at 0.9 of quality 0.5 and 0.7, one at 0.1 of quality 0.1: (2 · 0.3 + 0) / 3."""
    found = {"confidence": np.array([0.9, 0.9, 0.1]), "quality": np.array([0.5, 0.7, 0.1]), "decoded": np.ones(3, np.int64)}
    assert score("sequence_calibration_error", Columns(found, np.arange(3))) == pytest.approx(0.2)


def test_intervals_hold_the_score_of_corpora():
    found = marks(ENGLISH * 20)
    for name in ("bleu", "chrf", "rouge_l"):
        low, high = interval(find(name), found, draws=200)
        assert low < score(name, found) < high


def test_the_form_follows_the_references():
    assert form_of([a for _, a in CHINESE]) == "zh"
    assert form_of([a for _, a in ENGLISH]) == "13a"
