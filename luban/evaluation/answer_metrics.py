"""Metrics of answers to questions.

Marks read: exact (N,) and f1 (N,) of each answer · answerable (N,) bool, whether there is one · right (N,) bool and sure (N,) the chance of it that
was said · rank (N,) how many passages stood before the first that holds the answer, below 0 = none of those listed does.
"""

from __future__ import annotations

import numpy as np

from luban.columns import Array, Columns
from luban.evaluation.chance_metrics import NUM_BINS, bin_of
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, each, mean, sums

SPANS = (("exact", "f1", "answerable"),)
LISTS = (("rank", "answerable"),)


def among(values: Array, kept: Array) -> Tally:
    """The mean of a value over the kept examples; not defined of none."""
    kept = kept.astype(np.float64)
    return sums(np.stack([np.where(kept > 0, values, 0.0), kept], 1), lambda total: total[:, 0] / total[:, 1])


def stated(marks: Columns) -> tuple[Array, Array, Array]:
    """(M,) chances that were said, (M,) whether each answer was right, (M,) the example of each.

    A question that was asked again without its documents counts twice: what is then found is wrong.
    """
    sure, right, example = dense(marks, "sure").astype(np.float64), dense(marks, "right").astype(np.float64), np.arange(len(marks))
    if "doubt" not in marks:
        return sure, right, example
    doubt = dense(marks, "doubt").astype(np.float64)
    again = np.flatnonzero(~np.isnan(doubt))
    return np.r_[sure, doubt[again]], np.r_[right, np.zeros(len(again))], np.r_[example, again]


def tally_calibration(marks: Columns) -> Tally:
    """Mean distance between the chance said and the share that is right, over equal bins of the chance."""
    sure, right, example = stated(marks)
    place = bin_of(sure, NUM_BINS)

    def score(counts: Array) -> float:
        weight = counts[example]
        return float(np.abs(np.bincount(place, weight * (sure - right), NUM_BINS)).sum() / weight.sum())

    return each(score, len(marks))


def of_rank(marks: Columns, value: Array) -> Tally:
    """The mean of a value of the rank over questions that have an answer."""
    return among(value, dense(marks, "answerable").astype(bool))


def recall(count: int) -> Metric:
    """The share of questions with the answer among so many passages."""

    def tally(marks: Columns) -> Tally:
        rank = dense(marks, "rank")
        return of_rank(marks, ((rank >= 0) & (rank < count)).astype(np.float64))

    titles = (f"answer among the first {count} passages", f"前 {count} 段含答案的比例")
    return Metric(name=f"passage_recall_at_{count}", tally=tally, higher_is_better=True, needs=LISTS, titles=titles)


def tally_reciprocal(marks: Columns) -> Tally:
    """1 over the place of the first passage that holds the answer."""
    rank = dense(marks, "rank").astype(np.float64)
    return of_rank(marks, np.where(rank >= 0, 1 / (1 + np.maximum(rank, 0)), 0.0))


exact_match = Metric(
    name="exact_match",
    tally=lambda marks: mean(dense(marks, "exact")),
    higher_is_better=True,
    needs=SPANS,
    titles=("exact match", "完全匹配率"),
)
answer_f1 = Metric(
    name="answer_f1",
    tally=lambda marks: mean(dense(marks, "f1")),
    higher_is_better=True,
    needs=SPANS,
    titles=("F1 of the answers", "答案 F1"),
)
has_answer_f1 = Metric(
    name="has_answer_f1",
    tally=lambda marks: among(dense(marks, "f1"), dense(marks, "answerable").astype(bool)),
    higher_is_better=True,
    needs=SPANS,
    titles=("F1 where there is an answer", "有答案时的 F1"),
)
no_answer_accuracy = Metric(
    name="no_answer_accuracy",
    tally=lambda marks: among(dense(marks, "exact"), ~dense(marks, "answerable").astype(bool)),
    higher_is_better=True,
    needs=SPANS,
    titles=("accuracy where there is no answer", "无答案时的准确率"),
)
not_found_accuracy = Metric(
    name="not_found_accuracy",
    tally=lambda marks: among(dense(marks, "refused").astype(np.float64), dense(marks, "answerable").astype(bool)),
    higher_is_better=True,
    needs=(("refused", "answerable"),),
    titles=("share refused where the documents are held out", "拿走文档后正确拒答的比例"),
)
answer_ece = Metric(
    name="answer_ece",
    tally=tally_calibration,
    higher_is_better=False,
    needs=(("sure", "right"),),
    titles=("calibration error of the answers", "答案的校准误差"),
)
passage_mrr = Metric(
    name="passage_mrr",
    tally=tally_reciprocal,
    higher_is_better=True,
    needs=LISTS,
    titles=("mean reciprocal rank of the passage", "段落平均倒数排名"),
)
recalls = tuple(recall(count) for count in (1, 5, 10))
