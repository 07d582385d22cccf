"""Exact match and F1 of an answer, as the official scripts have them: SQuAD's for words, CMRC 2018's where the right answer holds Han characters.

Rajpurkar et al. 2016, section 6.1; 2018 (no answer: 1 where both say so, else 0); Cui et al. 2019, section 4: Han characters stand alone, F1 by the
longest part that both have in one piece. The script of CMRC cuts what is not Han by NLTK; here it is cut into words and marks.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》…·、「」（）－～『』")  # what CMRC's script leaves out
SEGMENTS = re.compile(rf"{HAN.pattern}|\w+?(?={HAN.pattern}|\b)|[^\w\s]")
LONGEST = 2000  # segments that are compared; more would cost their square


def score(answer: str, truths: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1) of the best of several right answers; of none the empty answer is right.

    >>> score("the Saw!", ["saw", "a plane"])
    (1.0, 1.0)
    >>> score("鲁国", ["鲁国人"])
    (0.0, 0.8)
    """
    known = [truth for truth in truths if bare(truth)] or [""]
    pairs = [(float(bare(answer, truth) == bare(truth)), f1(answer, truth)) for truth in known]
    return max(exact for exact, _ in pairs), max(found for _, found in pairs)


def bare(text: str, like: str | None = None) -> str:
    """What is compared: without case and punctuation, and of words without articles; `like` says whose rules hold."""
    if HAN.search(text if like is None else like):
        return "".join(character for character in text.lower().strip() if character not in MARKS)
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def f1(answer: str, truth: str) -> float:
    """Harmonic mean of the shares of each that the other holds."""
    if HAN.search(truth):
        return joined_f1(segments(answer), segments(truth))
    found, wanted = bare(answer, truth).split(), bare(truth).split()
    if not found or not wanted:
        return float(found == wanted)
    return harmonic((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def joined_f1(found: list[str], wanted: list[str]) -> float:
    """By the longest run of segments that both hold."""
    return harmonic(longest_run(found[:LONGEST], wanted[:LONGEST]), len(found), len(wanted))


def harmonic(same: int, found: int, wanted: int) -> float:
    """F1 of so many that are the same."""
    return 2 * same / (found + wanted) if same else 0.0


def segments(text: str) -> list[str]:
    """Han characters, words of other scripts, and marks that are not left out."""
    return [part for part in SEGMENTS.findall(text.lower()) if part not in MARKS]


def longest_run(one: list[str], other: list[str]) -> int:
    """Length of the longest part that both have in one piece."""
    best, before = 0, [0] * (len(other) + 1)
    for left in one:
        row = [0] * (len(other) + 1)
        for place, right in enumerate(other, 1):
            if left == right:
                row[place] = before[place - 1] + 1
        best, before = max(best, max(row)), row
    return best
