"""Inputs that hold the target over again, exactly or almost: known to the table, unknown when the model is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from luban.data.checks.finding import TRAIN, Finding, Subject, ok
from luban.messages import said

ALIKE = 0.9999  # correlation from which an input is the target over again
EXPLAINED = 0.999  # of the target's variance, by the means of a column's values
LIFT = 0.98  # share of the majority's errors that one column alone takes away
FEWEST = 8
MOST_ROWS = 50_000
MOST_CLASSES, ROWS_A_LEAF = 50, 20
LARGEST = 1e30  # as the kind number has it


def giveaways(subject: Subject) -> Iterator[Finding]:
    """Inputs from which alone the target follows almost without fail."""
    if subject.target is None or subject.target not in subject.table.columns or subject.table.height < FEWEST:
        return
    answers = subject.table[subject.target]
    if isinstance(answers.dtype, (pl.List, pl.Array)) or answers.null_count() == len(answers):
        return
    suspect = [name for name, kind in subject.inputs.items() if kind in ("number", "category", "date") and name != subject.target]
    told = [name for name in suspect if gives_away(subject, name)]
    for name in told:
        detail = said("it alone tells the target, {target}, almost without fail", target=subject.target)
        yield Finding(
            "W252", "warning", said("target copy"), detail, said("leave the column out if it is not known when the model is asked"), name
        )
    if suspect and not told:
        yield ok(said("target copy"), said("no input gives the target away"))


def gives_away(subject: Subject, name: str) -> bool:
    """Whether the target follows from this column, judged on at most 50,000 rows."""
    step = -(-subject.table.height // MOST_ROWS)
    series, answers = (subject.table[column].gather_every(step) for column in (name, str(subject.target)))
    known = series.is_not_null() & answers.is_not_null()
    keys, series, answers = subject.key_of(name).gather_every(step).filter(known), series.filter(known), answers.filter(known)
    train = pl.Series(subject.splits[::step] == TRAIN).filter(known)
    if len(keys) < FEWEST or answers.n_unique() < 2:
        return False
    if subject.task == "regression":
        return runs_with(series, answers) or explains(keys, answers)
    labels = answers.cast(pl.String)
    if names_labels(keys, labels):
        return True
    return series.dtype.is_numeric() and cuts_labels(series.cast(pl.Float64), labels, train)


def lift(right: int, rows: int, base: float) -> float:
    """Share of the errors of always naming the commonest label that are gone."""
    return 0.0 if base >= 1 or not rows else (right / rows - base) / (1 - base)


def names_labels(keys: pl.Series, labels: pl.Series) -> bool:
    """Whether equal values have almost always equal labels, often enough to be no accident."""
    groups = keys.n_unique()
    if groups > len(keys) / 4 or groups < labels.n_unique():
        return False
    counts = pl.DataFrame({"key": keys, "label": labels}).group_by("key", "label").len()
    right = int(counts.group_by("key").agg(pl.col("len").max())["len"].sum())
    return lift(right, len(keys), largest_share(labels)) >= LIFT


def largest_share(labels: pl.Series) -> float:
    """Of the commonest label."""
    return int(labels.value_counts(sort=True, name="rows")["rows"][0]) / len(labels)


def cuts_labels(numbers: pl.Series, labels: pl.Series, train: pl.Series) -> bool:
    """Whether a small tree over this number alone, grown on training rows, names the labels of those rows and of the others."""
    reachable = numbers.abs() <= LARGEST
    train, held = train & reachable, ~train & reachable
    classes = labels.n_unique()
    if int(train.sum()) < ROWS_A_LEAF * classes or int(held.sum()) < FEWEST or classes > MOST_CLASSES:
        return False
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=4 * classes, min_samples_leaf=FEWEST, random_state=0)
    tree.fit(numbers.filter(train).to_numpy()[:, None], labels.filter(train).to_numpy())
    for part in (train, held):
        truth = labels.filter(part)
        right = int((tree.predict(numbers.filter(part).to_numpy()[:, None]) == truth.to_numpy()).sum())
        if lift(right, len(truth), largest_share(truth)) < LIFT:
            return False
    return True


def runs_with(series: pl.Series, answers: pl.Series) -> bool:
    """Whether two columns of numbers correlate by 1, as they are or by their ranks."""
    if not series.dtype.is_numeric() or not answers.dtype.is_numeric():
        return False
    pair = np.stack([column.cast(pl.Float64).to_numpy() for column in (series, answers)])
    pair = pair[:, np.isfinite(pair).all(0)]
    ranks = np.stack([pl.Series(row).rank().to_numpy() for row in pair])
    return correlation(pair) >= ALIKE or correlation(ranks) >= ALIKE


def correlation(pair: np.ndarray) -> float:
    """Of two rows, without its sign; 0 where one is constant."""
    if pair.shape[1] < FEWEST or (np.ptp(pair, axis=1) == 0).any():
        return 0.0
    pair = pair - pair.mean(1, keepdims=True)
    return float(abs(pair[0] @ pair[1]) / np.sqrt((pair[0] @ pair[0]) * (pair[1] @ pair[1])))


def explains(keys: pl.Series, answers: pl.Series) -> bool:
    """Whether the means of a column's values explain the target."""
    if not answers.dtype.is_numeric() or keys.n_unique() > len(keys) / 4:
        return False
    values = answers.cast(pl.Float64)
    table = pl.DataFrame({"key": keys, "value": values}).filter(values.is_finite())
    total = table["value"].var() or 0.0
    rest = (table["value"] - table.select(pl.col("value").mean().over("key"))["value"]).var() or 0.0
    return bool(total > 0 and 1 - rest / total >= EXPLAINED)  # type: ignore[operator]
