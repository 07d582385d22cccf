"""luban train RECIPE: prepare → train → evaluate → bundle → report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, quiet_option, score, show, table
from luban.messages import language, tr


@click.command("train", help=tr("Prepare, train, evaluate, bundle and report. The same command goes on after an interruption."))
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=tr("Change a key of the recipe, such as training.epochs=3."))
@click.option("--run", "folder", type=click.Path(path_type=Path), help=tr("The run's folder; left out, runs/NAME."))
@as_json_option
@quiet_option
def command(recipe: Path, sets: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Train."""
    from luban.cli.progress import listener
    from luban.run import train
    from luban.run.clock import age
    from luban.training.distributed import is_first

    with listener() as tell:
        run = train(recipe, sets=sets, folder=folder, tell=tell, lead_s=age())
    if not is_first():
        return
    following = f"luban predict {run.bundle} {example_input(run.recipe)}"
    show(run.report, summary(run.report, run.folder), as_json=as_json, following=following)


def summary(report: dict[str, Any], folder: Path) -> list[str]:
    """The verdict, the ladder, and where things lie."""
    metrics = list(next(iter(report["ladder"]))["validation"]) or [report["protocol"]["metric"]]
    first = report["protocol"]["metric"] if report["protocol"]["metric"] in metrics else metrics[0]
    rows = []
    for row in report["ladder"]:
        mark = "→" if row["chosen"] else " "
        others = [score_value(row, metric) for metric in metrics if metric != first]
        validation, test = (row["validation"] or {}).get(first), (row["test"] or {}).get(first)
        rows.append([mark, row["name"], score(validation), score(test), *others, f"{row['fit_seconds']:.1f} s"])
    header = [
        "",
        tr("model"),
        tr("{metric} validation", metric=first),
        tr("{metric} test", metric=first),
        *(m for m in metrics if m != first),
        tr("fit"),
    ]
    return [
        report["verdict"][f"text_{language()}"],
        "",
        *table(rows, header),
        "",
        tr("report: {path}", path=folder / "report.html"),
        tr("bundle: {path}", path=folder / "bundle"),
    ]


def score_value(row: dict[str, Any], metric: str) -> str:
    """Another metric, on test where it was scored there."""
    found = (row["test"] or row["validation"] or {}).get(metric)
    return "–" if not found or found["value"] is None else f"{found['value']:.4f}"


def example_input(recipe: Any) -> str:
    """What `luban predict` may be given."""
    if len(recipe.inputs) == 1 and recipe.target:
        (section,) = recipe.inputs.values()
        if section["kind"] == "text":
            return f'--text "{tr("a sentence")}"'
    data = recipe.data
    while not isinstance(data, str):
        data = list(data.values())[-1] if isinstance(data, dict) else data[-1]
    path = recipe.base / data
    return os.path.relpath(path) if path.exists() else "DATA"
