"""luban tasks: what can be learnt, and the kinds of columns."""

from __future__ import annotations

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.messages import tr


@click.command("tasks", help=tr("List the tasks with their familiar names, and the kinds of columns."))
@as_json_option
@quiet_option
def command(as_json: bool) -> None:
    """List."""
    from luban import catalog

    aliases = catalog.task_aliases()
    tasks = {
        name: {"summary": tr(entry.summary), "aliases": [a for a, (kind, _) in aliases.items() if kind == name]}
        for name, entry in catalog.entries("tasks").items()
    }
    kinds = {name: tr(entry.summary) for name, entry in catalog.entries("kinds").items()}
    lines = table(
        [[name, facts["summary"].split(": ", 1)[-1], ", ".join(facts["aliases"])] for name, facts in tasks.items()],
        [tr("task"), tr("what it is"), tr("also called")],
    )
    lines += ["", *table([[name, summary.split(": ", 1)[-1]] for name, summary in kinds.items()], [tr("kind"), tr("what it is")])]
    show({"tasks": tasks, "kinds": kinds}, lines, as_json=as_json, following="luban models")
