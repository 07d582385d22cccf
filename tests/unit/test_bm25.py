"""BM25 against the formula by hand in float64, against a plain loop, and what counts as a term in each script."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from luban.columns import Ragged
from luban.retrieving import bm25, terms

TEXTS = ["the saw cuts the wood", "a plane smooths wood", "鲁班造锯，锯木头", "Saw-wood! 锯木头", "", "the the the"]


def collected(texts: list[str], cut: str = "words") -> Ragged:
    keys = [terms.keys(text, cut) for text in texts]
    return Ragged.of(np.concatenate(keys), [len(k) for k in keys])


def by_hand(texts: list[str], question: str, k1: float, b: float) -> list[float]:
    """Robertson and Zaragoza 2009, term by term, in plain numbers."""
    cut = [list(terms.words(text)) for text in texts]
    mean = sum(map(len, cut)) / len(cut)
    scores = []
    for words in cut:
        tf, total = Counter(words), 0.0
        for term in terms.words(question):
            n = sum(term in other for other in cut)
            weight = math.log(1 + (len(cut) - n + 0.5) / (n + 0.5))
            total += weight * tf[term] * (k1 + 1) / (tf[term] + k1 * (1 - b + b * len(words) / mean)) if tf[term] else 0.0
        scores.append(total)
    return scores


@pytest.mark.parametrize("question", ["what cuts wood?", "锯木头的是谁", "wood wood the", "unknown 未知", ""])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.0), (2.0, 1.0)])
def test_scores_are_the_formula(question: str, k1: float, b: float) -> None:
    index = bm25.postings(collected(TEXTS), k1, b)
    np.testing.assert_allclose(index.scores(terms.keys(question, "words")), by_hand(TEXTS, question, k1, b), rtol=1e-6, atol=1e-7)


def test_one_score_worked_out() -> None:
    index = bm25.postings(collected(["a b", "a c c", "d"]))
    # c: 1 of 3 passages; tf 2 in a passage of 3, mean length 2
    expected = math.log(1 + 2.5 / 1.5) * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 1.5))
    assert index.scores(terms.keys("c", "words"))[1] == pytest.approx(expected, rel=1e-6)


def test_no_passage_scores_more_than_the_most() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 9))) for _ in range(40)]
    index = bm25.postings(collected(texts))
    for question in ("a b", "c c d", "zz a"):
        keys = terms.keys(question, "words")
        assert index.scores(keys).max() < index.most(keys)


def test_terms_of_each_script() -> None:
    assert list(terms.words("Ｄebian的 apt-get，锯！2.5")) == ["debian", "的", "apt", "get", "锯", "2", "5"]
    assert list(terms.words("包管理 kernelの構成")) == ["包管", "管理", "kernel", "の構", "構成"]
    assert list(terms.pieces("saw 锯木")) == ["<saw", "saw>", "锯", "木", "锯木"]
    assert len(set(map(terms.key, (str(n) for n in range(10_000))))) == 10_000


def test_the_best_come_first_and_of_equals_the_first() -> None:
    assert bm25.best(np.array([1.0, 3.0, 2.0, 3.0, 0.0]), 3).tolist() == [1, 3, 2]
    assert bm25.best(np.zeros(4), 2).tolist() == [0, 1]
    assert bm25.best(np.zeros(0), 2).tolist() == []


def test_an_empty_collection_has_no_scores() -> None:
    index = bm25.postings(Ragged.of(np.zeros(0, np.int64), []))
    assert index.scores(terms.keys("a", "words")).shape == (0,)
    assert bm25.postings(collected(["", ""])).scores(terms.keys("a", "words")).tolist() == [0, 0]
