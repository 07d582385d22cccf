"""luban example NAME: real data with its recipe, from ordinary packages."""

from __future__ import annotations

from pathlib import Path

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.messages import tr


@click.command("example", help=tr("Get an example's data and recipe into a folder; without a name, list them."))
@click.argument("name", required=False)
@click.option("--out", type=click.Path(path_type=Path), help=tr("The folder; left out, examples/NAME."))
@as_json_option
@quiet_option
def command(name: str | None, out: Path | None, as_json: bool) -> None:
    """Fetch or list."""
    from luban import examples

    if name is None:
        known = examples.names()
        show(known, table(list(known.items()), [tr("example"), tr("what it is")]), as_json=as_json, following="luban example digits")
        return
    recipe = examples.fetch(name, out or Path("examples") / name)
    show({"recipe": str(recipe)}, [str(recipe)], as_json=as_json, following=f"luban train {recipe}")
