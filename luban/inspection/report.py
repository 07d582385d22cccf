"""The data report: `data-report.html`, one page, and the same figures as JSON beside it; at most 2 MB each."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import luban
from luban.data.checks import Finding, Subject
from luban.data.personal import hidden
from luban.data.source import SPLITS, Source
from luban.errors import DataError
from luban.evaluation.figures import json_ready
from luban.evaluation.page import MOST_BYTES, fill
from luban.files import write_whole
from luban.inspection import charts
from luban.inspection.checkup import CheckUp
from luban.inspection.columns import class_balance, column_facts, missing_patterns
from luban.inspection.copies import exact_copies, near_copies, place_of, shown_inputs
from luban.inspection.suspects import Suspects
from luban.messages import in_both, tr

HERE = Path(__file__).parent
MOST_SUSPECTS = 24
MOST_REJECTS = 50
DEAR = ("near", "copies", "suspects", "classes", "columns")  # what is left out first where the page would be too large
SPLIT_WORDS = {"train": ("train", "训练集"), "validation": ("validation", "验证集"), "test": ("test", "测试集")}


def data_report(done: CheckUp) -> dict[str, Any]:
    """Everything the page shows."""
    recipe, source, subject = done.recipe, done.source, done.subject
    counts = np.bincount(subject.splits.astype(np.int64), minlength=3)
    hits, looked_at = subject.found["personal"]
    return json_ready(
        {
            "luban_version": luban.__version__,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "name": recipe.name,
            "data": recipe.data if isinstance(recipe.data, str) else str(recipe.data),
            "task": recipe.task["kind"],
            "target": str(recipe.target or ""),
            "rows": subject.table.height,
            "usable": done.usable,
            "splits": dict(zip(SPLITS, counts.tolist(), strict=True)),
            "divided_by": subject.by,
            "table_columns": subject.table.width,
            "columns": column_facts(subject),
            "classes": class_balance(subject),
            "missing_patterns": missing_patterns(subject),
            "findings": [finding_facts(finding) for finding in done.findings],
            "rejects": {"count": len(done.rejects), "examples": [reject_facts(reject) for reject in done.rejects[:MOST_REJECTS]]},
            "copies": exact_copies(subject, source),
            "near": near_copies(subject, source),
            "suspects": suspect_facts(subject, source, done.suspects),
            "personal": {
                "looked_at": looked_at,
                "columns": [{"column": name} | asdict(hit) for name, of_column in hits.items() for hit in of_column],
            },
        }
    )


def finding_facts(finding: Finding) -> dict[str, Any]:
    """A finding in both languages."""
    said = {part: in_both(getattr(finding, part)) for part in ("name", "detail", "fix")}
    return {"code": finding.code, "level": finding.level, "where": finding.where} | said


def reject_facts(reject: dict[str, Any]) -> dict[str, Any]:
    """A reject without what stood there: it may be anybody's."""
    return {"place": f"{Path(reject['file']).name}:{reject['line']}", "column": reject["column"], "reason": hidden(reject["reason"])}


def suspect_facts(subject: Subject, source: Source, found: Suspects | None) -> dict[str, Any] | None:
    """How many labels are suspect among how many, which are taken for which, and the surest."""
    if found is None:
        return None
    pairs = Counter((row.given, row.suggested) for row in found.rows).most_common(8)
    rows = [
        asdict(row) | {"place": place_of(source, row.row), "inputs": shown_inputs(subject, row.row)} for row in found.rows[:MOST_SUSPECTS]
    ]
    return {
        "count": len(found.rows),
        "looked_at": found.looked_at,
        "labelled": found.labelled,
        "model": found.model,
        "pairs": [{"given": given, "suggested": suggested, "count": count} for (given, suggested), count in pairs],
        "rows": rows,
    }


def write_data_report(report: dict[str, Any], path: Path) -> Path:
    """Write the page, and the JSON beside it, whose path is returned. Raises DataError L245."""
    beside = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page(report).encode("utf-8", "replace"))
        write_whole(beside, (json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8", "replace"))
    except OSError as error:
        what = tr("the data report can't be written: {reason}", reason=error.strerror or error)
        raise DataError("L245", what, where=str(path), fix=tr("free some space or choose a folder that can be written")) from error
    return beside


def page(report: dict[str, Any]) -> str:
    """The page; should it grow over 2 MB, without what takes most room, and said so."""
    text, left = render(report, []), []
    for name in DEAR:
        if len(text.encode("utf-8", "replace")) <= MOST_BYTES:
            break
        left.append(name)
        report = report | {name: [] if name != "suspects" else None}
        text = render(report, left)
    return text


def render(report: dict[str, Any], left: list[str]) -> str:
    """The template filled."""
    levels = Counter(finding["level"] for finding in report["findings"])
    most = max((row["rows"] for row in report["classes"]), default=1)
    drawn = [column | {"chart": charts.of_column(column, f"column-{place}")} for place, column in enumerate(report["columns"])]
    values = report | {"columns": drawn, "levels": levels, "left": left, "most_class": most, "split_words": SPLIT_WORDS}
    return fill("data_report.html.j2", values, folder=HERE, styles=(HERE / "data_report.css",))
