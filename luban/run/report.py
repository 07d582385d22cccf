"""Fill the report from a finished run: every number in it can be recomputed from the run folder."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luban
from luban.capabilities import Errs, Illustrates, Slices
from luban.columns import Columns
from luban.data.completing import splitting_of
from luban.data.prepare import ROW, Prepared
from luban.evaluation.calibration import reliability
from luban.evaluation.confusion import confusion, per_class
from luban.evaluation.intervals import paired_interval
from luban.evaluation.ladder import Rung, best_of, scored
from luban.evaluation.metrics import Metric, find
from luban.evaluation.residuals import regression
from luban.evaluation.roc import roc
from luban.evaluation.thumbnails import thumbnail
from luban.evaluation.verdict import verdict
from luban.messages import both
from luban.recipe import Recipe
from luban.run.folder import environment
from luban.training.log import curves

MOST_WRONG = 24


def report_of(
    recipe: Recipe,
    folder: Path,
    prepared: Prepared,
    rungs: list[Rung],
    names: tuple[str, ...],
    *,
    seconds: float,
    threads: int,
    warnings: list[dict[str, Any]],
) -> dict[str, Any]:
    """The report as `evaluation.schema.Report` describes it."""
    metric, evaluation = find(names[0]), recipe.evaluation
    ladder = [rung.row(names, level=evaluation.level, draws=evaluation.draws) for rung in rungs]
    chosen = next(rung for rung in rungs if rung.chosen)
    marks = chosen.test if chosen.test is not None else chosen.validation
    labels = getattr(chosen.task, "labels", None)
    report: dict[str, Any] = {
        "run": {
            "name": recipe.name,
            "task": recipe.task["kind"],
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": f"luban train {recipe.file}",
            "luban_version": luban.__version__,
            "seconds": round(seconds, 1),
        },
        "data": data_facts(recipe, prepared, labels),
        "protocol": protocol(recipe, chosen, metric),
        "ladder": ladder,
        "verdict": verdict(
            ladder, metric=metric.name, gain=gain(rungs, metric, evaluation.level, evaluation.draws), level=evaluation.level
        ),
        "curves": learning_curves(folder, chosen, metric),
        "warnings": [f"{w['code']} {w['where']}: {w['what']}" if w["where"] else f"{w['code']} {w['what']}" for w in warnings],
        "environment": environment(threads),
        "bundle": {"path": "bundle"},
        "forecast": None,
    }
    if marks is not None and len(marks):
        report |= judged(chosen.task, marks, labels, prepared) | sliced(chosen.task, marks, metric, evaluation)
        report |= illustrated(chosen, prepared)
        marks.release()
    return report


def data_facts(recipe: Recipe, prepared: Prepared, labels: list[str] | None) -> dict[str, Any]:
    """What the models learnt from."""
    facts = prepared.facts
    return {
        "name": recipe.data if isinstance(recipe.data, str) else str(recipe.data),
        "hash": facts["hash"],
        "rows": facts["rows"],
        "sample": facts.get("sample"),
        "splits": facts["splits"],
        "rejects": len(facts["rejects"]),
        "inputs": {column: section["kind"] for column, section in recipe.inputs.items()},
        "target": str(recipe.target or ""),
        "labels": labels,
        "class_counts": facts["class_counts"],
        "findings": [f"{f['code']} {f['where']}: {f['detail']}" if f["where"] else f"{f['code']} {f['detail']}" for f in facts["findings"]],
    }


def protocol(recipe: Recipe, chosen: Rung, metric: Metric) -> dict[str, Any]:
    """How the figures were obtained."""
    split, folds = splitting_of(recipe), recipe.evaluation.folds
    if folds >= 2:
        how = both("{k} folds: each row is tested once, by a model that never saw it", k=folds)
    elif isinstance(recipe.data, dict):
        how = both("the data's own split, completed as {by}", by=split.by)
    else:
        shares = {"by": split.by, "validation": split.validation, "test": split.test}
        how = both("{by}: {validation:.0%} validation, {test:.0%} test", **shares)
        if split.by == "last_one":
            how = both("last_one: the last row of each {group} is the test, the one before it the validation", group=split.group)
        elif split.group:
            how = both("{by}: of each {group} {validation:.0%} validation, {test:.0%} test", **shares, group=split.group)
    if recipe.model["kind"] == "auto":
        who = both("the model was chosen by {metric} on validation: the cheapest within one standard error of the best", metric=metric.name)
    else:
        who = both("the recipe names the model; its weights were chosen by {metric} on validation", metric=metric.name)
    if chosen.validation is None:
        who = both("there are no validation rows: nothing was chosen, the last weights stand")
    scored = int(chosen.test is not None)
    return {
        "split": how, "metric": metric.name, "seed": recipe.training.seed, "folds": folds or None,
        "level": recipe.evaluation.level, "chosen_by": who, "test_scored": scored, "signatures": getattr(chosen.task, "signatures", {}),
    }  # fmt: skip


def gain(rungs: list[Rung], metric: Metric, level: float, draws: int) -> tuple[float, float] | None:
    """The paired interval of network minus baseline, on the split where both were scored."""
    network, baseline = (best_of([r for r in rungs if r.role == role], metric) for role in ("network", "baseline"))
    if network is None or baseline is None:
        return None
    pairs = (network.test, baseline.test) if network.test is not None else (network.validation, baseline.validation)
    if pairs[0] is None or pairs[1] is None or not len(pairs[0]):
        return None
    low, high = paired_interval(metric, pairs[0], pairs[1], draws=draws, level=level)
    for marks in pairs:
        marks.release()
    return (low, high) if np.isfinite([low, high]).all() else None


def learning_curves(folder: Path, chosen: Rung, metric: Metric) -> dict[str, Any] | None:
    """Of the network, where there was one; scores as the metric has them, which the log holds so that more is better."""
    found = curves(folder / "log.jsonl")
    if not found["train"]:
        return None
    best = max(found["validation"], key=lambda point: point[1], default=None)
    sign = 1 if metric.higher_is_better else -1
    scores = [[step, sign * score] for step, score in found["validation"]]
    return found | {"validation": scores, "best_step": best[0] if best and chosen.role == "network" else None}


def sliced(task: Any, marks: Columns, metric: Metric, evaluation: Any) -> dict[str, Any]:
    """The first metric on the parts of the marks that the task tells apart."""
    if not isinstance(task, Slices):
        return {}
    found = []
    for by, name, part in task.slices(marks):
        score = scored((metric.name,), part, level=evaluation.level, draws=evaluation.draws)[metric.name]
        found.append({"by": by, "name": name, "count": len(part), "score": score})
    return {"slices": found}


def illustrated(rung: Rung, prepared: Prepared) -> dict[str, Any]:
    """What the task itself shows of the examples that were judged; of folds, nothing: no one net judged them."""
    part = "test" if rung.test is not None else "validation"
    marks, examples = getattr(rung, part), prepared.examples[part]
    if not isinstance(rung.task, Illustrates) or not np.array_equal(marks.row, examples.row):
        return {}
    return rung.task.illustrate(rung.net, examples, marks)


def judged(task: Any, marks: Columns, labels: list[str] | None, prepared: Prepared) -> dict[str, Any]:
    """Confusion, calibration, residuals and the worst examples, as the marks allow."""
    out: dict[str, Any] = {"wrong": wrong(task, marks, labels, prepared)}
    if "label" in marks and labels:
        out |= {"confusion": confusion(marks, labels), "per_class": per_class(marks, labels), "calibration": {"bins": reliability(marks)}}
        if len(labels) == 2:
            out["roc"] = roc(marks)
    elif "labels" in marks and labels:
        out |= {"per_class": per_class(marks, labels), "calibration": {"bins": reliability(marks)}}
    elif "truth" in marks:
        out["regression"] = regression(marks)
    elif "sure" in marks:
        out["calibration"] = {"bins": reliability(marks)}
    return out


def wrong(task: Any, marks: Columns, labels: list[str] | None, prepared: Prepared) -> list[dict[str, Any]]:
    """The surest mistakes, or the largest errors, with the raw inputs."""
    if "label" in marks and labels:
        confidence = np.asarray(marks["chance"]).max(1)
        places = np.flatnonzero(np.asarray(marks["label"]) != np.asarray(marks["guess"]))
        places = places[np.argsort(-confidence[places], kind="stable")][:MOST_WRONG]
        named = [(name_of(labels, marks["label"][p]), name_of(labels, marks["guess"][p]), float(confidence[p])) for p in places]
    elif "truth" in marks:
        error = np.abs(np.asarray(marks["truth"]) - np.asarray(marks["answer"]))
        places = np.argsort(-error, kind="stable")[:MOST_WRONG]
        named = [(float(marks["truth"][p]), float(marks["answer"][p]), None) for p in places]
    elif isinstance(task, Errs):
        found = task.mistakes(marks, MOST_WRONG)
        places, named = np.array([place for place, *_ in found], np.int64), [tuple(rest) for _, *rest in found]
    else:
        return []
    raw = prepared.raw.filter(pl.col(ROW).is_in(marks.row[places].tolist())).collect()
    by_row = {row.pop(ROW): row for row in raw.to_dicts()}
    kinds = {column: section["kind"] for column, section in prepared.recipe.inputs.items()}
    return [
        {
            "row": int(row),
            "truth": truth,
            "answer": answer,
            "confidence": sure,
            "inputs": {c: shown(by_row.get(row, {}).get(c), kind) for c, kind in kinds.items()},
        }
        for row, (truth, answer, sure) in zip(marks.row[places].tolist(), named, strict=True)
    ]


def name_of(labels: list[str], code: int) -> str:
    """A label's name; one that training never saw has none."""
    return labels[code] if 0 <= code < len(labels) else "∉"


def shown(value: Any, kind: str) -> Any:
    """A cell as the report shows it."""
    if kind == "image" and value is not None:
        try:
            return thumbnail(value["bytes"] if isinstance(value, dict) else value)
        except (OSError, ValueError):
            return "?"
    return value
