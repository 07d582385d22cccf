"""luban models: the architectures, what they read, their sizes."""

from __future__ import annotations

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.messages import tr


@click.command("models", help=tr("List the models, the kinds of columns they read, and their sizes."))
@as_json_option
@quiet_option
def command(as_json: bool) -> None:
    """List."""
    from luban import catalog

    found = {
        name: {"summary": tr(entry.summary), "role": entry.role, "reads": list(entry.takes), "sizes": list(entry.stated.get("SIZES", {}))}
        for name, entry in catalog.entries("models").items()
        if entry.takes
    }
    rows = [[name, f["summary"].split(": ", 1)[-1], ", ".join(f["reads"]), ", ".join(f["sizes"])] for name, f in found.items()]
    show(found, table(rows, [tr("model"), tr("what it is"), tr("reads"), tr("sizes")]), as_json=as_json, following="luban new DATA")
