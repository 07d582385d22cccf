"""What an answer and its reference share, counted so that sums over examples give the scores of a corpus.

BLEU: Papineni et al. 2002. chrF and chrF++: Popović 2015, 2017. ROUGE: Lin 2004. N examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from luban.rewriting.segmenting import rouge_words, words

BLEU_ORDER, CHRF_ORDER, CHRF_WORDS = 4, 6, 2
PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
WIDTHS = {"bleu": 2 + 2 * BLEU_ORDER, "chrf": 3 * CHRF_ORDER, "chrf_words": 3 * CHRF_WORDS, "rouge": 3}


def marks_of(answers: Sequence[str | None], references: Sequence[str], form: str) -> dict[str, Any]:
    """For each example what the metrics sum up; an answer that is None was not asked for and counts in none.

    decoded (N,) 0 or 1 · bleu (N, 10) words of answer and reference, n-grams right and in all · chrf (N, 18), chrf_words (N, 6) n-grams of
    answer, of reference, shared, by order · rouge (N, 3) F1 of words, pairs and the longest common subsequence · quality (N,) chrF in 0 … 1.
    """
    found: dict[str, list[Any]] = {name: [] for name in (*WIDTHS, "quality")}
    for answer, reference in zip(answers, references, strict=True):
        if answer is None:
            for name, width in WIDTHS.items():
                found[name].append([0] * width)
            found["quality"].append(0.0)
            continue
        found["bleu"].append(bleu(words(answer, form), words(reference, form)))
        characters = chrf(answer, reference)
        found["chrf"].append(characters)
        found["chrf_words"].append(chrf_words(answer, reference))
        found["rouge"].append(rouge(rouge_words(answer), rouge_words(reference)))
        found["quality"].append(sentence_chrf(characters))
    decoded = np.array([answer is not None for answer in answers], np.int64)
    kinds = {"rouge": np.float64, "quality": np.float64}
    arrays = {name: np.array(rows, kinds.get(name, np.int64)) for name, rows in found.items()}
    for name, width in WIDTHS.items():
        arrays[name] = arrays[name].reshape(len(decoded), width)
    return {"decoded": decoded, **arrays}


def grams(tokens: Sequence[str], order: int) -> Counter[Any]:
    """n-grams and how often each stands there; `tokens` may be a text."""
    if isinstance(tokens, str):
        return Counter(tokens[i : i + order] for i in range(len(tokens) - order + 1))
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def bleu(answer: Sequence[str], reference: Sequence[str]) -> list[int]:
    """Lengths of both, then n-grams of the answer that are right, then all of them, n = 1 … 4."""
    right, total = [], []
    for order in range(1, BLEU_ORDER + 1):
        mine = grams(answer, order)
        right.append((mine & grams(reference, order)).total())
        total.append(mine.total())
    return [len(answer), len(reference), *right, *total]


def triple(mine: Counter[Any], theirs: Counter[Any]) -> list[int]:
    """n-grams of the answer (none where the reference has none), of the reference, and shared."""
    return [mine.total() if theirs else 0, theirs.total(), (mine & theirs).total()]


def chrf(answer: str, reference: str) -> list[int]:
    """For n = 1 … 6 a triple of character n-grams, spaces left out."""
    answer, reference = "".join(answer.split()), "".join(reference.split())
    return [n for order in range(1, CHRF_ORDER + 1) for n in triple(grams(answer, order), grams(reference, order))]


def chrf_words(answer: str, reference: str) -> list[int]:
    """For n = 1, 2 a triple of word n-grams, what chrF++ adds."""
    mine, theirs = apart(answer), apart(reference)
    return [n for order in range(1, CHRF_WORDS + 1) for n in triple(grams(mine, order), grams(theirs, order))]


def apart(text: str) -> list[str]:
    """Words with one punctuation mark cut off at an edge, as chrF++ does."""
    found: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in PUNCTUATION:
            found += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in PUNCTUATION:
            found += [word[0], word[1:]]
        else:
            found.append(word)
    return found


def sentence_chrf(counts: Sequence[int]) -> float:
    """chrF of one example, 0 … 1."""
    return float(chrf_score(np.array(counts, np.float64)[None])[0])


def chrf_score(total: np.ndarray, beta: float = 2.0) -> np.ndarray:
    """(D, 3 · orders) sums -> (D,) F of mean precision and mean recall over the orders that both have, 0 … 1 (Popović 2015, beta 2)."""
    mine, theirs, shared = total[:, 0::3], total[:, 1::3], total[:, 2::3]  # (D, orders)
    both = (mine > 0) & (theirs > 0)
    orders = np.maximum(1, both.sum(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(both, shared / mine, 0.0).sum(1) / orders
        recall = np.where(both, shared / theirs, 0.0).sum(1) / orders
        found = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    return np.where(precision + recall > 0, found, 0.0)


def rouge(answer: Sequence[str], reference: Sequence[str]) -> list[float]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L."""
    found = []
    for order in (1, 2):
        mine, theirs = grams(answer, order), grams(reference, order)
        found.append(f1((mine & theirs).total(), mine.total(), theirs.total()))
    return [*found, f1(common(answer, reference), len(answer), len(reference))]


def f1(shared: int, mine: int, theirs: int) -> float:
    """Harmonic mean of precision and recall."""
    return 2 * shared / (mine + theirs) if shared else 0.0


def common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, by bits (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << i
    whole = (1 << len(left)) - 1
    row = whole
    for word in right:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(left) - row.bit_count()
