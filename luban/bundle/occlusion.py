"""Why a model answers so: what it would have answered without a column, a word, a patch, a stretch of time.

effect = what is said of the row - what is said of the row without the part. For a linear model the effect of a number is weight × (value - reference).
Zeiler and Fergus 2014, section 4.2; Li, Monroe and Jurafsky 2016 ("erasure"). Parts that stand in for each other share what neither has alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from torch import nn

from luban import catalog
from luban.errors import DataError
from luban.messages import tr
from luban.occluding import MISSING, Occlusion
from luban.predicting import answers_of

LEAST = 1e-6  # a chance as it is rounded
WHOLE: dict[str, Any] = {}


@dataclass(frozen=True)
class Question:
    """One cell replaced: the column, the part, and what stands there instead; several are averaged."""

    column: str
    where: dict[str, Any]  # WHOLE = the whole cell
    cells: list[Any]


def can_explain(answer: Any) -> bool:
    """Whether an answer holds what an effect could be measured on, or reasons of its own."""
    return isinstance(answer, dict) and bool({"chances", "number", "because"} & answer.keys())


def explain(task: Any, net: nn.Module, table: pl.DataFrame, label: str = "") -> list[dict[str, Any]]:
    """For each row what speaks for the answer, or for `label`; a row that cannot be read holds `error`. Raises DataError L282, L283."""
    answers, rejects, kept = answers_of(task, net, table)
    if len(answers) and not can_explain(answers.row(0, named=True)):
        raise DataError("L282", tr("these answers cannot be explained"), where=type(task).__name__)
    out: list[dict[str, Any]] = [{} for _ in range(len(table))]
    for reject in rejects:
        out[reject.row] = {"error": f"{reject.column}: {reject.reason}"}
    if "because" in answers.columns:
        told = [{"method": "reasons", "answer": answer} for answer in answers.to_dicts()]
        return told if len(told) != len(table) else [{**found, **one} for found, one in zip(out, told, strict=True)]
    ways = {name: (spec, way_of(spec)) for name, spec in task.state["inputs"].items()}
    plain = {name: way.plain(table[name], spec) for name, (spec, way) in ways.items()}
    for row, answer in zip(kept.tolist(), answers.to_dicts(), strict=True):
        out[row] = explained(task, net, {name: cells[row] for name, cells in plain.items()}, answer, ways, label)
    return out


def way_of(spec: dict[str, Any]) -> Occlusion:
    """How cells of a kind are left out."""
    return getattr(catalog.load("kinds", spec["kind"]), "occlusion", MISSING)


def explained(task: Any, net: nn.Module, row: dict[str, Any], answer: dict[str, Any], ways: Any, label: str) -> dict[str, Any]:
    """One row."""
    of = measured_on(answer, label)
    questions = [question for name in ways for question in questions_of(name, row[name], *ways[name])]
    values = asked(task, net, row, questions, {name: way for name, (_, way) in ways.items()}, of)
    base, rest = values[0], values[1:]
    out: dict[str, Any] = {
        "method": "occlusion",
        "answer": answer,
        **({"label": of} if of else {}),
        "value": base,
        "columns": [],
        "parts": {},
    }
    for question, value in zip(questions, rest, strict=True):
        if value is None:
            continue
        effect = {"effect": round(base - value, 6), "log_odds": round(odds(base) - odds(value), 4)} if of else {"effect": base - value}
        if question.where is WHOLE:
            cell = row[question.column]
            shown = {"cell": cell} if isinstance(cell, int | float | str) and ways[question.column][0]["kind"] != "series" else {}
            instead = {"instead": question.cells[0]} if isinstance(question.cells[0], int | float) else {}
            out["columns"].append({"column": question.column} | shown | instead | effect)
        else:
            out["parts"].setdefault(question.column, []).append(question.where | effect)
    out["columns"].sort(key=lambda found: -abs(found["effect"]))
    return out


def measured_on(answer: dict[str, Any], label: str) -> str:
    """The label whose chance is looked at: the one asked for, else the one that was said, of tags the likeliest; "" = the number. Raises DataError L283."""
    if "chances" not in answer:
        return ""
    if label and label not in answer["chances"]:
        raise DataError("L283", tr("the model knows no such label"), where="label", received=label, allowed=answer["chances"])
    return label or max(answer["chances"], key=lambda name: answer["chances"][name])


def odds(chance: float) -> float:
    """log p / (1 - p)."""
    chance = min(max(chance, LEAST), 1 - LEAST)
    return math.log(chance / (1 - chance))


def questions_of(name: str, cell: Any, spec: dict[str, Any], way: Occlusion) -> Iterator[Question]:
    """The cell left out whole, then part by part."""
    if cell is None:
        return
    yield Question(name, WHOLE, way.instead(cell, spec))
    for part in way.parts(cell, spec):
        yield Question(name, part.where, [part.without])


def asked(task: Any, net: nn.Module, row: dict[str, Any], questions: list[Question], ways: dict[str, Occlusion], of: str) -> list[Any]:
    """What is measured on the row as it is, then on each question; None where the row cannot be read so."""
    owner = np.array([-1, *(place for place, question in enumerate(questions) for _ in question.cells)])
    columns = {name: [cell] * len(owner) for name, cell in row.items()}
    for place, cell in enumerate((cell for question in questions for cell in question.cells), start=1):
        columns[questions[owner[place]].column][place] = cell
    table = pl.DataFrame([pl.Series(name, cells, dtype=ways[name].dtype, strict=False) for name, cells in columns.items()])
    answers, _, kept = answers_of(task, net, table)
    found = [answer["chances"][of] if of else answer["number"] for answer in answers.to_dicts()]
    out: list[Any] = []
    for place in range(-1, len(questions)):
        own = [value for value, at in zip(found, owner[kept].tolist(), strict=True) if at == place]
        out.append(sum(own) / len(own) if own else None)
    return out
