"""luban evaluate BUNDLE DATA: scores with intervals on rows that hold the target."""

from __future__ import annotations

from pathlib import Path

import click

from luban.cli.output import as_json_option, quiet_option, score, show, table
from luban.messages import tr


@click.command("evaluate", help=tr("Score a bundle on rows that hold the target; every score with its interval."))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--metric", "metrics", multiple=True, help=tr("A metric by its name; can be repeated. Left out, those of the task."))
@as_json_option
@quiet_option
def command(bundle: Path, data: str, metrics: tuple[str, ...], as_json: bool) -> None:
    """Evaluate."""
    import luban
    from luban.data.reading import read

    model = luban.load(bundle)
    rows = read(data, model.reading, base=Path(), used=[*model.signature["inputs"], model.signature.get("target") or ""]).table
    found = model.evaluate(rows, metrics=metrics)
    show(found, table([[name, score(value)] for name, value in found.items()], [tr("metric"), tr("score")]), as_json=as_json)
