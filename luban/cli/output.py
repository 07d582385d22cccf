"""Results on stdout: tables for people, JSON where asked for; and the next command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from luban.messages import tr

as_json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON."))
quiet_option: Callable[..., Any] = click.option("--quiet", is_flag=True, expose_value=False, help=tr("Say warnings and errors only."))


def show(value: Any, lines: Sequence[str], *, as_json: bool, following: str = "") -> None:
    """A result as JSON, or its lines; then the command that follows, on stderr."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, default=str, allow_nan=False))
        return
    for line in lines:
        click.echo(line)
    if following:
        click.echo(click.style(tr("next:"), bold=True) + f" {following}", err=True)


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> list[str]:
    """Columns set side by side; wide characters count twice."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(width_of(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [click.style(lines[0], bold=True), *lines[1:]]


def width_of(text: str) -> int:
    """Columns a text takes on a terminal."""
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def score(found: dict[str, float | None] | None) -> str:
    """A score with its interval."""
    if not found or found["value"] is None:
        return "–"
    edges = f" [{found['low']:.4f}, {found['high']:.4f}]" if found.get("low") is not None else ""
    return f"{found['value']:.4f}{edges}"


def findings_table(findings: Sequence[Any]) -> list[str]:
    """Pass or fail of each look: set to the width of a terminal, or one line each."""
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
    header = [tr("check"), tr("column"), tr("found"), tr("fix")]
    if not sys.stdout.isatty():
        return table([[f"{marks[f.level][0]} {f.name}", f.where, f.detail, f.fix] for f in findings], header)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    for name in header:
        drawn.add_column(name, overflow="fold")  # Chinese has no spaces to break at; nothing may be cut off
    for f in findings:
        drawn.add_row(
            Text(marks[f.level][0], style=marks[f.level][1]) + f" {f.name}", Text(f.where), Text(f.detail), Text(f.fix, style="dim")
        )
    console = Console()
    with console.capture() as caught:
        console.print(drawn)
    return caught.get().rstrip().split("\n")
