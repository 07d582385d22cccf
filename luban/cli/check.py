"""luban check RECIPE: validate the recipe and the data; nothing is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.errors import DataError
from luban.messages import tr

MOST_REJECTS = 20


@click.command("check", help=tr("Validate recipe and data: a table of what was looked at, every reject listed; nothing is trained."))
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=tr("Change a key of the recipe, such as training.epochs=3."))
@as_json_option
@quiet_option
def command(recipe: Path, sets: tuple[str, ...], as_json: bool) -> None:
    """Check. Raises DataError where a finding is an error, L215 where too many records can't be read."""
    import polars as pl

    from luban.data.accounting import rows_without_target
    from luban.data.checks import checks
    from luban.data.prepare import all_rejects, cut_short, open_source, splitting_of, target_of, used_columns
    from luban.data.splits import divide
    from luban.recipe import read

    source, completed = open_source(read(recipe, sets))
    parts = divide(source.table, splitting_of(completed), target=target_of(completed), seed=completed.training.seed, given=source.splits)
    kinds = {column: section["kind"] for column, section in completed.inputs.items()}
    findings = checks(source.table, kinds, target_of(completed), parts, completed.task["kind"])
    rejects, usable = [asdict(reject) for reject in source.rejects], 0
    if all(finding.level != "error" for finding in findings):
        task, table = completed.make_task(), source.table.select(used_columns(completed, source.table))
        task = type(task)(task.config, task.fit(table.filter(pl.Series(parts == 0))))
        rows = task.encode(table)
        without, listed = rows_without_target(rows, source, target_of(completed))
        rejects, usable = all_rejects(rows, source) + listed, len(rows) - without
        findings += cut_short(rows, task.state)
    facts = {
        "found": source.found,
        "rows": len(source.table),
        "usable": usable,
        "inputs": kinds,
        "findings": [asdict(f) for f in findings],
        "rejects": rejects,
    }
    show(facts, lines(findings, rejects), as_json=as_json, following=f"luban train {recipe}")
    for finding in findings:
        if finding.level == "error":
            raise DataError(finding.code, finding.detail, where=finding.where, fix=finding.fix)
    share = len([r for r in rejects if r["record"]]) / max(1, len(source.table) + len(source.rejects))
    if share > completed.reading.reject_limit:
        limit = completed.reading.reject_limit
        fix = tr("repair them, or raise reject_limit (now {limit}) under [reading]", limit=limit)
        raise DataError("L215", tr("{share:.2%} of the records can't be read", share=share), where=str(recipe), fix=fix)


def lines(findings: list[Any], rejects: list[Any]) -> list[str]:
    """Pass or fail of each look, then the rejects."""
    marks = {"ok": click.style("✓", fg="green"), "warning": click.style("!", fg="yellow"), "error": click.style("✗", fg="red")}
    rows = [[f"{marks[f.level]} {f.name}", f.where, f.detail, f.fix] for f in findings]
    out = table(rows, [tr("check"), tr("column"), tr("found"), tr("fix")])
    if rejects:
        out += ["", tr("{n} rejects", n=len(rejects))]
        out += [
            f"  {Path(r['file']).name}:{r['line']}{': ' + r['column'] if r['column'] else ''}: {r['reason']}"
            for r in rejects[:MOST_REJECTS]
        ]
    return out
