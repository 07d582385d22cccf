"""The report: `report.json`, the figures; `report.html`, one page that needs no network and runs nothing from the data.

Whatever comes from the user is escaped, cut and counted before it reaches the page.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.errors import TrainingError, warn
from luban.evaluation import plots
from luban.evaluation.alignment import alignment, caption
from luban.evaluation.confusion import worst_pairs
from luban.evaluation.figures import json_ready
from luban.evaluation.metrics import metrics
from luban.evaluation.page import MOST_BYTES, fill
from luban.files import write_whole
from luban.messages import tr

MOST_CLASSES = 100
MOST_MATRIX = 30
MOST_WRONG = 24
MOST_LINES = 50
MOST_MAPS = 6
LONG = 60  # characters of a truth or an answer, beyond which it stands below
LARGEST_PICTURE = 24_000
PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")
SPLIT_NAMES = {"train": ("train", "训练集"), "validation": ("validation", "验证集"), "test": ("test", "测试集")}


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json` and `report.html` (see `schema.Report`) into the folder. Raises TrainingError L352."""
    ready = json_ready(dict(report))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "report.html", page(ready).encode("utf-8", "replace"))
        line = json.dumps(ready, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        write_whole(folder / "report.json", line.encode("utf-8", "replace"))  # last: it ends the run
    except OSError as error:
        raise TrainingError(
            "L352",
            tr("the report can't be written: {reason}", reason=error.strerror or error),
            where=str(folder),
            fix=tr("free some space or choose a folder that can be written"),
        ) from error


def page(report: dict[str, Any]) -> str:
    """The page; should it grow over 2 MB, without the wrong examples, and said so."""
    text = render(report)
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        warn("W350", tr("the report's page would be over 2 MB, so it shows no wrong examples"), fix=tr("see report.json for them"))
        text = render(report | {"wrong": []})
    return text


def render(report: dict[str, Any]) -> str:
    """The template filled."""
    return fill("report.html.j2", {"title": plots.title_of} | summary(report) | model(report) | facts(report))


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """What the verdict, the ladder and the protocol show."""
    ladder, protocol = report["ladder"][:MOST_LINES], report["protocol"]
    metric = metrics().get(protocol["metric"])
    scale = plots.scale_of(ladder, protocol["metric"])
    warnings = report.get("warnings") or []
    return {
        **{name: report[name] for name in ("run", "data", "protocol", "verdict")},
        "ladder": ladder,
        "chosen": next((row for row in ladder if row["chosen"]), None),
        "metric_names": metric_names(ladder, protocol["metric"]),
        "higher_is_better": metric.higher_is_better if metric else True,
        "scale": scale,
        "splits": [(name, int(count)) for name, count in report["data"]["splits"].items()],
        "split_names": SPLIT_NAMES,
        "warnings": warnings[:MOST_LINES],
        "warnings_left": max(0, len(warnings) - MOST_LINES),
    }


def metric_names(ladder: list[dict[str, Any]], main: str) -> list[str]:
    """Every metric that was scored, the choosing one first, the others as they came."""
    return list(dict.fromkeys([main, *(name for row in ladder for name in (*row["validation"], *(row["test"] or ())))]))


def model(report: dict[str, Any]) -> dict[str, Any]:
    """What the charts of the chosen model show."""
    curves, regression = report.get("curves"), report.get("regression")
    calibration, classes = report.get("calibration"), report.get("per_class") or []
    metric, wrong = report["protocol"]["metric"], report.get("wrong") or []
    return {
        "loss_chart": curves and plots.loss_curve(curves, "chart-loss"),
        "score_chart": curves and plots.score_curve(curves, metric, "chart-score"),
        "regression_charts": bool(regression),
        "scatter_chart": regression and plots.scatter(regression["points"], "chart-scatter"),
        "residual_chart": regression and plots.residual_bars(regression["residuals"], "chart-residuals"),
        "reliability_chart": calibration and plots.reliability_curve(calibration["bins"], "chart-reliability"),
        "roc_chart": plots.roc_curve(report["roc"], "chart-roc") if report.get("roc") else None,
        "per_class": classes[:MOST_CLASSES],
        "per_class_left": max(0, len(classes) - MOST_CLASSES),
        "slices": slices_of(report),
        "alignments": [(alignment(found), caption(found)) for found in (report.get("alignments") or [])[:MOST_MAPS]],
        "slice_metric": plots.title_of(metric),
        "wrong": [shown(example) for example in wrong[:MOST_WRONG]],
        "worst_first": any(example.get("quality") is not None for example in wrong),
        "surest_first": any(example.get("confidence") is not None for example in wrong),
        "side_by_side": bool(classes) and len((report.get("confusion") or {}).get("labels", ())) <= 10,
        **confusion_of(report.get("confusion")),
    }


def slices_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Parts of the examples, those of one kind together, in the order they came."""
    groups: list[dict[str, Any]] = []
    for part in report.get("slices") or []:
        if not groups or groups[-1]["by"] != part["by"]:
            groups.append({"by": part["by"], "parts": []})
        groups[-1]["parts"].append(part)
    return groups


def confusion_of(confusion: Any) -> dict[str, Any]:
    """A matrix of up to 30 classes, else the worst pairs."""
    if not confusion or not confusion["labels"]:
        return {"matrix": None, "pairs": None}
    labels, counts = confusion["labels"], confusion["counts"]
    if len(labels) > MOST_MATRIX:
        return {"matrix": None, "pairs": worst_pairs(confusion)}
    rows = [
        (label, [(count, count / (sum(row) or 1), i == j) for j, count in enumerate(row)])
        for i, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    turned = len(labels) > 4 and max(len(str(label)) for label in labels) > 4
    return {"matrix": {"labels": labels, "rows": rows, "turned": turned}, "pairs": None}


def shown(example: dict[str, Any]) -> dict[str, Any]:
    """A wrong example, its thumbnails apart from its texts; nothing but a small data URI becomes an image."""
    inputs = list(example["inputs"].items())[:12]
    pictures = [(name, value) for name, value in inputs if is_picture(value)]
    texts = [(name, value) for name, value in inputs if not str(value).startswith("data:")]
    long = [(key, example[key]) for key in ("truth", "answer") if len(str(example[key])) > LONG]
    return {**example, "confidence": example.get("confidence"), "long": long, "pictures": pictures[:4], "texts": texts}


def is_picture(value: Any) -> bool:
    """Whether this is a PNG or JPEG thumbnail as a data URI."""
    return isinstance(value, str) and len(value) <= LARGEST_PICTURE and PICTURE.fullmatch(value) is not None


def compared(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Of time, memory and energy: name, forecast, actual, and by how much the forecast lies off."""
    if not found:
        return []
    names = {
        "seconds": ("time", "用时"),
        "peak_bytes": ("memory", "内存"),
        "kwh": ("energy", "能耗"),
        "co2_kg": ("CO₂", "CO₂"),
        "money": ("money", "费用"),
    }
    rows = []
    for key, name in names.items():
        foreseen, actual = (found["forecast"] or {}).get(key), found["actual"].get(key)
        if actual is None:
            continue
        off = foreseen / actual - 1 if foreseen and actual else None
        rows.append({"key": key, "name": name, "forecast": foreseen, "actual": actual, "off": off})
    return rows


def facts(report: dict[str, Any]) -> dict[str, Any]:
    """What the data, the bundle and the environment show."""
    data, bundle = report["data"], report.get("bundle")
    inputs, counts = list(data["inputs"].items()), data.get("class_counts") or {}
    largest, total = max(counts.values(), default=1) or 1, sum(counts.values()) or 1
    return {
        "inputs": inputs[:40],
        "took": compared(report.get("forecast")),
        "currency": (report.get("forecast") or {}).get("currency", ""),
        "sizes": (report.get("size") or {}).get("tried", [])[:MOST_LINES],
        "size_chosen": (report.get("size") or {}).get("size"),
        "inputs_left": max(0, len(inputs) - 40),
        "findings": (data.get("findings") or [])[:MOST_LINES],
        "class_counts": [(label, n, n / total, round(100 * n / largest, 2)) for label, n in list(counts.items())[:MOST_CLASSES]],
        "class_counts_left": max(0, len(counts) - MOST_CLASSES),
        "bundle": bundle,
        "bundle_argument": shlex.quote(bundle["path"]) if bundle else "",
        "bundle_literal": repr(bundle["path"]) if bundle else "",
        "environment": list((report.get("environment") or {}).items())[:40],
    }
