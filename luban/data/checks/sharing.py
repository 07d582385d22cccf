"""What rows of different splits share though the world will not: a group (one patient, one shop) or a stretch of time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import polars as pl

from luban.data.checks.finding import TEST, TRAIN, Finding, Subject, ok
from luban.data.checks.giveaways import largest_share, lift
from luban.data.inference import ID_NAME
from luban.messages import said

FEWEST_GROUPS = 20
FEWEST_ROWS = 20
TOLD = 0.8  # share of the errors (of the variance) that knowing the group takes away
SHARED = 0.3  # of the held-out rows, whose group trains
EARLY = 0.2  # of the test rows, before half of the training rows
BIRTH = re.compile(r"birth|born|\bdob\b|出生|生日", re.IGNORECASE)  # a date of the person, not of the row


def groups(subject: Subject) -> Iterator[Finding]:
    """Columns whose values stand in several splits and nearly tell the target: rows of one group are copies of each other."""
    if subject.by not in ("random", "stratified", "given") or subject.target is None or subject.target not in subject.table.columns:
        return
    suspect = [name for name in subject.table.columns if may_group(subject, name)]
    told = {name: shared for name in suspect if (shared := shared_and_told(subject, name))}
    for name, shared in told.items():
        detail = said("{share} of the held-out rows have a value that trains too, and it nearly tells the target", share=f"{shared:.0%}")
        fix = said("are these rows of one thing? keep them together: group = {name} under [split]", name=f'"{name}"')
        yield Finding("W257", "warning", said("group"), detail, fix, name)
    if suspect and not told:
        yield ok(said("group"), said("no group of rows stands in two splits and tells the target"))


def may_group(subject: Subject, name: str) -> bool:
    """Whether a column could name what several rows belong to: names or ids, many of them, each more than once."""
    series = subject.table[name]
    named = series.dtype == pl.String or (series.dtype.is_integer() and (ID_NAME.search(name) or subject.inputs.get(name) == "category"))
    if name == subject.target or not named or subject.inputs.get(name, "category") not in ("category", "number"):
        return False
    distinct = subject.key_of(name).n_unique()
    answers = subject.table[str(subject.target)]
    classes = answers.n_unique() if subject.task == "classification" and not answers.dtype.is_nested() else 0
    return max(FEWEST_GROUPS, 2 * classes) < distinct <= subject.table.height / 2


def shared_and_told(subject: Subject, name: str) -> float:
    """Share of the held-out rows whose group trains, if the group's training rows tell their target; else 0."""
    answers = subject.table[str(subject.target)]
    if answers.dtype.is_nested():
        return 0.0
    table = pl.DataFrame({"key": subject.key_of(name), "answer": answers, "train": pl.Series(subject.splits == TRAIN)})
    table = table.filter(subject.table[name].is_not_null() & answers.is_not_null())
    train, held = table.filter("train"), table.filter(~pl.col("train"))
    if subject.task == "classification":
        counts = train.group_by("key", "answer").len().sort("len", "answer", descending=[True, False])
        known = counts.unique("key", keep="first", maintain_order=True).select("key", pl.col("answer").alias("told"))
    else:
        known = train.group_by("key").agg(pl.col("answer").cast(pl.Float64, strict=False).mean().alias("told"))
    both = held.join(known, on="key")
    if both.height < FEWEST_ROWS or both.height < SHARED * held.height:
        return 0.0
    return both.height / held.height if told_share(both, subject.task) >= TOLD else 0.0


def told_share(both: pl.DataFrame, task: str) -> float:
    """How much better the group's answer is than one answer for all."""
    if task == "classification":
        right = int((both["answer"] == both["told"]).sum())
        return lift(right, both.height, largest_share(both["answer"].cast(pl.String)))
    pair = both.select(pl.col("answer").cast(pl.Float64, strict=False), "told").filter(pl.all_horizontal(pl.all().is_finite()))
    answer, told = pair["answer"].to_numpy(), pair["told"].to_numpy()
    spread = np.square(answer - answer.mean()).sum() if len(answer) else 0.0
    return float(1 - np.square(answer - told).sum() / spread) if spread else 0.0


def times(subject: Subject) -> Iterator[Finding]:
    """A column of dates under a random split: the model is tested on a past whose future it has seen."""
    if subject.by not in ("random", "stratified", "given"):
        return
    known = [(name, instants) for name in subject.table.columns if (instants := instants_of(subject, name)) is not None]
    early = {name: share for name, instants in known if (share := share_before(subject.splits, instants)) >= EARLY}
    for name, share in early.items():
        detail = said("{share} of the test rows are older than half of the training rows", share=f"{share:.0%}")
        fix = said("will the model be asked about the future? test it there: order = {name} under [split]", name=f'"{name}"')
        yield Finding("W258", "warning", said("time"), detail, fix, name)
    if known and not early:
        yield ok(said("time"), said("test rows come after the training rows"))


def instants_of(subject: Subject, name: str) -> np.ndarray | None:
    """(N,) seconds, NaN = missing; None where the column holds no times of the rows."""
    series = subject.table[name]
    if name == subject.target or BIRTH.search(name) or not (series.dtype in (pl.Date, pl.Datetime) or subject.inputs.get(name) == "date"):
        return None
    from luban.kinds.date import guess_format, parse  # imports torch, which reading does without

    instants = parse(series, guess_format(series))
    if instants.null_count() > 0.1 * len(instants) or instants.n_unique() < FEWEST_GROUPS:
        return None
    return instants.dt.epoch("s").cast(pl.Float64).fill_null(np.nan).to_numpy()


def share_before(splits: np.ndarray, instants: np.ndarray) -> float:
    """Of the test rows, how many are older than the median of the training rows."""
    train, test = (instants[(splits == part) & np.isfinite(instants)] for part in (TRAIN, TEST))
    return float((test < np.median(train)).mean()) if len(train) and len(test) >= FEWEST_ROWS else 0.0
