"""Rows that stand more than once, exactly or nearly, as examples for the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from luban.data.checks import Subject
from luban.data.checks.near import Pair
from luban.data.personal import hidden
from luban.data.source import SPLITS, Source
from luban.inspection.columns import picture

MOST_EXAMPLES = 12
LARGEST_TEXT = 240
MOST_INPUTS = 8


def place_of(source: Source, row: int) -> str:
    """File and line of a row."""
    file, line = source.origin.of(row)
    return f"{Path(file).name}:{line}"


def shown_inputs(subject: Subject, row: int) -> dict[str, Any]:
    """A row's inputs as the page shows them: pictures small, texts cut, nothing personal."""
    return {name: shown(subject.table[name][row], kind) for name, kind in list(subject.inputs.items())[:MOST_INPUTS]}


def shown(cell: Any, kind: str) -> Any:
    """One cell."""
    if cell is None:
        return None
    if kind == "image":
        return picture(cell)
    if isinstance(cell, (int, float, bool)):
        return hidden(str(cell)) if isinstance(cell, int) and abs(cell) >= 10**10 else cell
    text = str(cell.to_list() if isinstance(cell, pl.Series) else cell)
    return hidden(text, LARGEST_TEXT) + ("…" if len(text) > LARGEST_TEXT else "")


def exact_copies(subject: Subject, source: Source) -> list[dict[str, Any]]:
    """The rows that stand most often, those in several splits first."""
    if not subject.inputs:
        return []
    table = (
        pl.DataFrame({"key": subject.keys(), "split": pl.Series(subject.splits)})
        .with_row_index("row")
        .filter(pl.col("key").is_duplicated())
    )
    groups = table.group_by("key").agg(pl.col("row").head(4), pl.len().alias("count"), pl.col("split").unique().sort())
    groups = groups.sort(pl.col("split").list.len(), "count", "key", descending=[True, True, False]).head(MOST_EXAMPLES)
    return [
        {
            "count": group["count"],
            "places": [place_of(source, row) for row in group["row"]],
            "splits": [SPLITS[part] for part in group["split"]],
            "inputs": shown_inputs(subject, group["row"][0]),
        }
        for group in groups.to_dicts()
    ]


def near_copies(subject: Subject, source: Source) -> list[dict[str, Any]]:
    """Of each column searched: how many pairs among how many rows, and the nearest that are no exact copies, across splits first."""
    out = []
    for key, near in subject.found.items():
        if not key.startswith("near:"):
            continue
        pairs = [pair for pair in near.pairs if not pair.exact]
        pairs = sorted(pairs, key=lambda pair: (not crosses(subject, pair), -pair.likeness))
        facts = [pair_facts(subject, source, pair) for pair in pairs[:MOST_EXAMPLES]]
        across = sum(crosses(subject, pair) for pair in pairs)
        out.append({"column": key[5:], "pairs": len(pairs), "across": across, "held": near.held, "train": near.train, "examples": facts})
    return out


def crosses(subject: Subject, pair: Pair) -> bool:
    """Whether the two rows stand in different splits."""
    return bool(subject.splits[pair.row] != subject.splits[pair.other])


def pair_facts(subject: Subject, source: Source, pair: Pair) -> dict[str, Any]:
    """Both rows and how alike they are."""
    sides = [
        {
            "place": place_of(source, row),
            "split": SPLITS[int(subject.splits[row])],
            "cell": shown(subject.table[pair.column][row], subject.inputs[pair.column]),
        }
        for row in (pair.row, pair.other)
    ]
    return {"likeness": round(pair.likeness, 3), "sides": sides}
