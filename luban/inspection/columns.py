"""What one column holds: how much is missing, how many values differ, how they are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from luban.data.checks import Subject
from luban.data.personal import hidden
from luban.evaluation.thumbnails import thumbnail

MOST_COLUMNS = 100
MOST_BARS = 12
MOST_BINS = 24
STRETCHED = 1.5
MOST_PICTURES = 200  # whose headers are read for the size
NUM_THUMBNAILS = 6
LARGEST_CELL = 60
LARGEST_PICTURE = 4_000_000  # bytes of one that is shown
PATTERNS = 8

Facts = dict[str, Any]


def column_facts(subject: Subject) -> list[Facts]:
    """Of the first hundred columns: inputs, then the target, then those left out."""
    target = [subject.target] if subject.target in subject.table.columns else []
    rest = [name for name in subject.table.columns if name not in subject.inputs and name not in target]
    return [facts_of(subject, str(name)) for name in [*subject.inputs, *target, *rest][:MOST_COLUMNS]]


def facts_of(subject: Subject, name: str) -> Facts:
    """One column."""
    series = subject.table[name]
    kind = subject.inputs.get(name) or ("category" if subject.task == "classification" and name == subject.target else usual_kind(series))
    missing = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
    return {
        "name": name,
        "kind": kind,
        "role": "target" if name == subject.target else "input" if name in subject.inputs else "left out",
        "missing": missing,
        "distinct": distinct(subject, name),
        "personal": [hit.kind for hit in subject.found["personal"][0].get(name, [])],
    } | spread(subject, name, kind)


def usual_kind(series: pl.Series) -> str:
    """Of a column that is no input."""
    if series.dtype.is_temporal():
        return "date"
    return "number" if series.dtype.is_numeric() else "category"


def distinct(subject: Subject, name: str) -> int:
    """Different values that are known, exactly; files by their content."""
    return subject.key_of(name).n_unique() - bool(subject.table[name].null_count())


def spread(subject: Subject, name: str, kind: str) -> Facts:
    """A histogram, bars, or lengths, as the kind has it; of a column that holds personal data instead of texts nothing is shown."""
    series = subject.table[name].drop_nulls()
    if not len(series):
        return {}
    if kind != "text" and subject.found["personal"][0].get(name):
        return {}
    if kind in ("number", "date"):
        return of_dates(series) if kind == "date" else of_numbers(series)
    if kind == "text" and series.dtype == pl.String:
        return {"lengths": histogram(series.str.len_chars().cast(pl.Float64).to_numpy()), "examples": examples(series)}
    if kind == "image":
        return of_pictures(series)
    if isinstance(series.dtype, pl.List):
        names = series.explode().cast(pl.String).drop_nulls() if kind == "tags" else None
        return {"lengths": histogram(series.list.len().cast(pl.Float64).to_numpy())} | ({"bars": bars(names)} if names is not None else {})
    return {"bars": bars(series.cast(pl.String))} if not series.dtype.is_nested() and series.dtype != pl.Binary else {}


def of_numbers(series: pl.Series) -> Facts:
    """Histogram and five figures of the finite numbers; text is read as the kind reads it."""
    from luban.kinds.number import parse

    values, _ = parse(series)
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    low, quarter, middle, upper, high = (float(v) for v in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    figures = {"least": low, "quarter": quarter, "median": middle, "three_quarters": upper, "most": high, "mean": float(values.mean())}
    return {"histogram": histogram(values), "figures": figures}


def of_dates(series: pl.Series) -> Facts:
    """Histogram over time, in seconds since 1970, and the two ends."""
    from luban.kinds.date import guess_format, parse

    instants = parse(series, guess_format(series)).drop_nulls()
    if not len(instants):
        return {}
    ends = [str(instants.min())[:19], str(instants.max())[:19]]
    return {"dates": histogram(instants.dt.epoch("s").cast(pl.Float64).to_numpy()), "ends": ends}


def of_pictures(series: pl.Series) -> Facts:
    """Sizes of some pictures by their headers, and a few thumbnails."""
    from luban.pictures import shape_of

    cells = series.gather_every(-(-len(series) // MOST_PICTURES)).to_list()
    shapes = pl.Series([f"{shape[1]} × {shape[0]}" for cell in cells if (shape := shape_of(cell))], dtype=pl.String)
    shown = cells[:: -(-len(cells) // NUM_THUMBNAILS)]
    return {"sizes": bars(shapes), "pictures": [small for cell in shown if (small := picture(cell))], "looked_at": len(cells)}


def picture(cell: Any) -> str | None:
    """A thumbnail, or None for what can't be shown."""
    try:
        return thumbnail(cell) if not isinstance(cell, bytes) or len(cell) <= LARGEST_PICTURE else None
    except (OSError, ValueError, SyntaxError):
        return None


def histogram(values: np.ndarray) -> Facts:
    """Edges and counts; where a hundredth on either side stretches the axis, it joins the outermost bin, that the rest may be seen."""
    least, most = float(values.min()), float(values.max())
    low, high = (float(edge) for edge in np.quantile(values, [0.01, 0.99]))
    if high <= low or most - least <= STRETCHED * (high - low):
        low, high = least, most
    edges = np.linspace(low, high if high > low else low + 1, MOST_BINS + 1)
    if high - low < MOST_BINS and bool((values == np.floor(values)).all()):
        edges = np.arange(low, high + 2) - 0.5  # a bar for each whole number
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "least": least, "most": most}


def bars(names: pl.Series) -> Facts:
    """The commonest values and how many others there are."""
    counts = names.value_counts(sort=True, name="rows").sort("rows", names.name, descending=[True, False])
    shown = [[hidden(name, LARGEST_CELL), rows] for name, rows in counts.head(MOST_BARS).rows()]
    rest = counts["rows"].slice(MOST_BARS)
    return {"values": shown, "others": len(rest), "other_rows": int(rest.sum())}


def examples(series: pl.Series) -> list[str]:
    """The shortest, a middle and the longest text, cut."""
    order = series.str.len_chars().arg_sort()
    return [hidden(series[int(order[place])], 160) for place in dict.fromkeys((0, len(order) // 2, len(order) - 1))]


def missing_patterns(subject: Subject) -> list[Facts]:
    """Which columns are missing together, the commonest first."""
    table = subject.table
    holes = [name for name in table.columns if table[name].null_count()][:MOST_COLUMNS]
    if not holes:
        return []
    patterns = table.select(pl.col(holes).is_null()).group_by(holes).len("rows").sort("rows", *holes, descending=True).head(PATTERNS)
    return [{"columns": [name for name in holes if row[name]], "rows": row["rows"]} for row in patterns.to_dicts()]


def class_balance(subject: Subject) -> list[Facts]:
    """Rows of each label in each split, the commonest label first."""
    labels = subject.labels
    if labels is None:
        return []
    table = pl.DataFrame({"label": labels, "split": pl.Series(subject.splits.astype(np.int8))}).drop_nulls()
    split = [(pl.col("split") == part).sum().alias(name) for part, name in enumerate(("train", "validation", "test"))]
    counts = table.group_by("label").agg(pl.len().alias("rows"), *split).sort("rows", "label", descending=[True, False])
    return [row | {"label": hidden(row["label"], LARGEST_CELL)} for row in counts.head(MOST_COLUMNS).to_dicts()]
