"""luban monitor LOG: whether what a service was asked and what it answered are still like what the model learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.errors import DataError
from luban.messages import tr

SHIFTED, CHANGED = 0.1, 0.2  # of the stability index, as credit scoring has it
FEWEST = 200  # rows, below which chance alone moves the index so far


@click.command("monitor", help=tr("Hold the log of a service against what its models learnt from: drift of inputs and answers."))
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--above", type=click.FloatRange(min=0), metavar="PSI", help=tr("End with exit code 3 where a column has drifted further."))
@as_json_option
@quiet_option
def command(log: Path, above: float | None, as_json: bool) -> None:
    """Compare. Raises DataError L280, L281."""
    from luban.serving.prediction_log import drift

    found: list[dict[str, Any]] = [row | {"verdict": verdict(row["psi"], row["rows"])} for row in drift(log)]
    words = {"steady": tr("steady"), "shifted": tr("shifted"), "changed": tr("changed"), "too few rows": tr("too few rows")}
    lines = [
        [row["model"], row["version"], row["column"], row["rows"], f"{row['psi']:.3f}", f"{row['js']:.3f}", words[row["verdict"]]]
        for row in found
    ]
    head = [tr("model"), tr("version"), tr("column"), tr("rows"), "PSI", "JS", tr("verdict")]
    show(found, table(lines, head), as_json=as_json)
    if above is not None and (far := [row for row in found if row["psi"] > above and row["rows"] >= FEWEST]):
        worst = max(far, key=lambda row: row["psi"])
        what = tr("what comes is no longer like what was learnt from: stability index {psi}", psi=f"{worst['psi']:.3f}")
        raise DataError(
            "L281", what, where=f"{worst['model']}: {worst['column']}", fix=tr("look at the rows, and train again on newer ones")
        )


def verdict(psi: float, rows: int) -> str:
    """In a word."""
    if rows < FEWEST:
        return "too few rows"
    return "changed" if psi > CHANGED else "shifted" if psi > SHIFTED else "steady"
