"""Histograms of what a model learnt from and of what it answered then: later rows and answers are held against them.

Of each encoded column one number a row is looked at: the number itself, the code of a name, the length of a text or a series, the mean of a picture.
Two histograms are compared by the population stability index, Σ (p - q) ln(p / q), which is Jeffreys' divergence (Jeffreys 1946), and by the
Jensen-Shannon divergence in bits (Lin 1991), which lies in 0 … 1. Half a row is added to each bin, so that an empty one is no infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from luban.columns import Array, Columns, Ragged

QUANTILES = 10
MOST_NAMES = 20
LARGEST = 2.0**53  # of a code, a count or an edge that a stranger wrote
ANSWER = "answer"  # the histogram of answers goes by this name
Sketch = dict[str, Any]  # {"edges": [...]} or {"codes": [...]}, and "counts": one for each bin, the last for missing or other values


def sketches(columns: Columns) -> dict[str, Sketch]:
    """One for each input; targets are left out."""
    found = {name: measure(values) for name, values in columns.data.items() if not name.startswith("\x00")}
    return {name: sketch(values) for name, values in found.items() if len(values)}


def measure(values: Any) -> Array:
    """(N,) float64, or int64 codes."""
    if isinstance(values, Ragged):
        return np.asarray(values.lengths, np.float64)
    values = np.asarray(values)
    if values.ndim > 1:
        return values.reshape(len(values), -1).mean(1, dtype=np.float64)
    return values.astype(np.int64 if values.dtype.kind in "iub" else np.float64)


def sketch(values: Array) -> Sketch:
    """Bins of about equal counts, or one for each of the commonest codes; counted."""
    if values.dtype.kind == "i":
        codes, counts = np.unique(values, return_counts=True)
        bins: Sketch = {"codes": sorted(codes[np.argsort(-counts, kind="stable")[:MOST_NAMES]].tolist())}
    else:
        known = values[np.isfinite(values)]
        inner = np.linspace(0, 1, QUANTILES + 1)[1:-1]
        bins = {"edges": np.unique(np.quantile(known, inner)).tolist() if len(known) else []}
    return bins | {"counts": count(places(values, bins), bins).tolist()}


def places(values: Array, bins: Sketch) -> Array:
    """(N,) the bin of each value; the last bin is that of missing and of other values."""
    if "codes" in bins:
        codes = np.asarray(bins["codes"], np.int64)
        found = np.minimum(np.searchsorted(codes, values), max(0, len(codes) - 1))
        return np.where(codes[found] == values, found, len(codes)) if len(codes) else np.zeros(len(values), np.int64)
    found = np.searchsorted(np.asarray(bins["edges"], np.float64), values, side="right")
    return np.where(np.isfinite(values), found, len(bins["edges"]) + 1)


def size(bins: Sketch) -> int:
    """How many bins there are."""
    return len(bins["codes"]) + 1 if "codes" in bins else len(bins["edges"]) + 2


def count(found: Array, bins: Sketch) -> Array:
    """(bins,) int64."""
    return np.bincount(found, minlength=size(bins))


def of_marks(marks: Columns) -> Array | None:
    """(N,) codes of the labels that were said, or numbers, of held-out rows; None where the marks hold neither."""
    if "guess" in marks and np.ndim(marks["guess"]) == 1:
        return np.asarray(marks["guess"], np.int64)
    return np.asarray(marks["answer"], np.float64) if "answer" in marks and np.ndim(marks["answer"]) == 1 else None


def of_answers(answers: pl.DataFrame, labels: list[str] | None) -> Array | None:
    """(N,) codes of labels, or numbers; None for answers that are neither."""
    if "label" in answers.columns and labels:
        return answers["label"].replace_strict(labels, range(len(labels)), default=-1, return_dtype=pl.Int64).to_numpy()
    if "number" in answers.columns:
        return answers["number"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return None


def is_sketch(value: Any) -> bool:
    """Whether a bundle's value is one: what a stranger wrote must not fail later."""
    if not isinstance(value, dict) or set(value) not in ({"edges", "counts"}, {"codes", "counts"}):
        return False
    bins, counts = value["codes"] if "codes" in value else value["edges"], value["counts"]
    numbers = all(
        isinstance(part, list) and all(type(one) in (int, float) and abs(one) <= LARGEST for one in part) for part in (bins, counts)
    )
    return numbers and bins == sorted(set(bins)) and len(counts) == size(value) and min(counts) >= 0 and sum(counts) > 0


def stability(known: Array, found: Array) -> float:
    """Population stability index of two histograms over the same bins; about (bins - 1) (1 / n + 1 / m) where nothing has changed."""
    p, q = shares(known, found)
    return float(np.sum((p - q) * np.log(p / q)))


def divergence(known: Array, found: Array) -> float:
    """Jensen-Shannon divergence in bits."""
    p, q = shares(known, found)
    middle = (p + q) / 2
    return float(np.sum(p * np.log2(p / middle) + q * np.log2(q / middle)) / 2)


def shares(known: Array, found: Array) -> tuple[Array, Array]:
    """Shares that are never 0, without the bins in which neither holds anything."""
    filled = (np.asarray(known) + np.asarray(found)) > 0
    p, q = np.asarray(known, np.float64)[filled] + 0.5, np.asarray(found, np.float64)[filled] + 0.5
    return p / p.sum(), q / q.sum()
