"""luban check RECIPE: validate the recipe and the data; nothing is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, findings_table, quiet_option, show
from luban.errors import DataError
from luban.messages import tr

MOST_REJECTS = 20


@click.command("check", help=tr("Validate recipe and data: a table of what was looked at, every reject listed; nothing is trained."))
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=tr("Change a key of the recipe, such as training.epochs=3."))
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help=tr("Write the data report: distributions, copies, suspect labels, personal data; and the same as JSON beside it."),
)
@as_json_option
@quiet_option
def command(recipe: Path, sets: tuple[str, ...], report: Path | None, as_json: bool) -> None:
    """Check. Raises DataError where a finding is an error, L215 where too many records can't be read."""
    from luban.inspection.checkup import check_up
    from luban.recipe import read

    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise click.BadParameter(tr("the data report is a page: name it FILE.html"), param_hint="--report")
    done = check_up(read(recipe, sets), suspects=report is not None)
    facts = {
        "found": done.source.found,
        "rows": len(done.source.table),
        "usable": done.usable,
        "inputs": done.subject.inputs,
        "findings": [asdict(f) for f in done.findings],
        "rejects": done.rejects,
    }
    if report is not None:
        from luban.inspection.report import data_report, write_data_report

        beside = write_data_report(data_report(done), report)
        facts["report"] = {"page": str(report), "json": str(beside)}
    show(facts, lines(done.findings, done.rejects, report), as_json=as_json, following=f"luban train {recipe}")
    refuse(done, recipe)


def refuse(done: Any, recipe: Path) -> None:
    """Raises DataError for the first finding that is an error, L215 for too many rejects."""
    for finding in done.findings:
        if finding.level == "error":
            raise DataError(finding.code, finding.detail, where=finding.where, fix=finding.fix)
    share = len([r for r in done.rejects if r["record"]]) / max(1, len(done.source.table) + len(done.source.rejects))
    limit = done.recipe.reading.reject_limit
    if share > limit:
        fix = tr("repair them, or raise reject_limit (now {limit}) under [reading]", limit=limit)
        raise DataError("L215", tr("{share:.2%} of the records can't be read", share=share), where=str(recipe), fix=fix)


def lines(findings: list[Any], rejects: list[Any], report: Path | None) -> list[str]:
    """Pass or fail of each look, then the rejects, then where the page lies."""
    out = findings_table(findings)
    if rejects:
        out += ["", tr("{n} rejects", n=len(rejects))]
        out += [
            f"  {Path(r['file']).name}:{r['line']}{': ' + r['column'] if r['column'] else ''}: {r['reason']}"
            for r in rejects[:MOST_REJECTS]
        ]
    return out + (["", tr("data report: {path}", path=report)] if report is not None else [])
