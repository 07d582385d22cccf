"""Metrics of texts set against a reference: BLEU, chrF and chrF++ as sacreBLEU computes them, ROUGE, and how far confidence can be believed.

Marks read: decoded (N,) whether an answer was asked for · bleu (N, 10) · chrf (N, 18) · chrf_words (N, 6) · rouge (N, 3) · quality (N,) chrF of
the answer in 0 … 1 · confidence (N,) 0 … 1; see rewriting/overlap. BLEU and chrF are scores of the whole corpus, ROUGE means of examples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.chance_metrics import NUM_BINS, bin_of
from luban.evaluation.language_metrics import totals
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, sums
from luban.rewriting.overlap import BLEU_ORDER, chrf_score

HUNDRED = (0.0, 100.0)
SMOOTHED = 100.0  # what a precision without a match is counted as: half of a match, a quarter … (`exp` of mteval-v13a)


def bleu_of(total: Array) -> Array:
    """(D, 10) sums -> (D,) BLEU in 0 … 100: brevity penalty times the geometric mean of four precisions, smoothed by `exp`."""
    mine, theirs, right, count = total[:, 0], total[:, 1], total[:, 2 : 2 + BLEU_ORDER], total[:, 2 + BLEU_ORDER :]
    misses = np.cumsum((right == 0) & (count > 0), axis=1)  # each halves once more
    precision = np.where(right > 0, SMOOTHED * right / count, SMOOTHED / (2.0**misses * count))
    brevity = np.where(mine < theirs, np.exp(1 - theirs / np.maximum(mine, 1e-300)), 1.0)
    found = brevity * np.exp(np.log(precision).mean(1))
    return np.where((right.sum(1) > 0) & (count > 0).all(1), found, 0.0)


def tally_bleu(marks: Columns) -> Tally:
    """Corpus BLEU."""
    return sums(totals_of(marks, "bleu"), bleu_of)


def tally_chrf(marks: Columns) -> Tally:
    """Corpus chrF."""
    return sums(totals_of(marks, "chrf"), lambda total: 100 * chrf_score(total))


def tally_chrf_words(marks: Columns) -> Tally:
    """Corpus chrF++."""
    return sums(totals_of(marks, "chrf", "chrf_words"), lambda total: 100 * chrf_score(total))


def totals_of(marks: Columns, *names: str) -> Array:
    """(N, S) counts side by side."""
    return np.concatenate([np.asarray(marks[name]).astype(np.float64) for name in names], 1)


def tally_rouge(place: int) -> Callable[[Columns], Tally]:
    """Mean F1 over the examples that were answered."""

    def tally(marks: Columns) -> Tally:
        asked = dense(marks, "decoded").astype(np.float64)
        return sums(np.stack([dense(marks, "rouge")[:, place] * asked, asked], 1), lambda total: total[:, 0] / total[:, 1])

    return tally


def tally_calibration(marks: Columns) -> Tally:
    """Mean distance, over 15 bins of confidence, of how sure the answers were from how good they were (chrF of each), by their number."""
    asked = dense(marks, "decoded").astype(np.float64)
    sure, good = dense(marks, "confidence"), dense(marks, "quality")
    place = np.eye(NUM_BINS)[bin_of(sure, NUM_BINS)] * asked[:, None]  # (N, bins)
    values = np.concatenate([place * (sure - good)[:, None], asked[:, None]], 1)
    return sums(values, lambda total: np.abs(total[:, :-1]).sum(1) / total[:, -1])


def tally_kept(marks: Columns) -> Tally:
    """Share of the sources' numbers and names that stand in the answers."""
    return sums(totals(marks, "kept", "keepable"), lambda total: total[:, 0] / total[:, 1])


metrics = (
    Metric(name="chrf", tally=tally_chrf, higher_is_better=True, needs=(("chrf",),), bounds=HUNDRED, titles=("chrF", "chrF")),
    Metric(name="bleu", tally=tally_bleu, higher_is_better=True, needs=(("bleu",),), bounds=HUNDRED, titles=("BLEU", "BLEU")),
    Metric(
        name="chrf_plus_plus",
        tally=tally_chrf_words,
        higher_is_better=True,
        needs=(("chrf", "chrf_words"),),
        bounds=HUNDRED,
        titles=("chrF++", "chrF++"),
    ),
    *(
        Metric(
            name=f"rouge_{name.lower()}",
            tally=tally_rouge(place),
            higher_is_better=True,
            needs=(("rouge", "decoded"),),
            titles=(f"ROUGE-{name}", f"ROUGE-{name}"),
        )
        for place, name in enumerate(("1", "2", "L"))
    ),
    Metric(
        name="sequence_calibration_error",
        tally=tally_calibration,
        higher_is_better=False,
        needs=(("confidence", "quality", "decoded"),),
        titles=("calibration error of confidence", "置信度校准误差"),
    ),
    Metric(
        name="kept_share",
        tally=tally_kept,
        higher_is_better=True,
        needs=(("kept", "keepable"),),
        titles=("numbers and names kept", "数字与名称保留率"),
    ),
)
