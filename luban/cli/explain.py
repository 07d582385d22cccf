"""luban explain BUNDLE ROW: what an answer hangs on, by leaving out a column, a word, a patch at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, quiet_option, show, table, width_of
from luban.cli.predict import rows_of
from luban.errors import DataError, RecipeError
from luban.messages import tr

BAR = 20
MOST_SHOWN = 12
MOST_ROWS = 100


@click.command(
    "explain", help=tr("Say what the answer to a row hangs on: its columns, words, patches; the row as JSON, or a file of rows.")
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("row", required=False)
@click.option("--text", "texts", multiple=True, help=tr("A text to answer, for bundles with one text input; can be repeated."))
@click.option("--label", default="", help=tr("Explain the chance of this label instead of the one that is said."))
@as_json_option
@quiet_option
def command(bundle: Path, row: str | None, texts: tuple[str, ...], label: str, as_json: bool) -> None:
    """Explain."""
    import luban

    if bool(row) == bool(texts):
        raise RecipeError("L192", tr("give DATA or --text, one of them"), where="luban explain")
    model = luban.load(bundle)
    rows = [parsed(row)] if row and row.lstrip().startswith("{") else rows_of(model, row, texts)[0]
    found = model.explain(rows[:MOST_ROWS], label=label)
    lines = [line for place, one in enumerate(found) for line in ([""] if place else []) + lines_of(one)]
    show(found, lines, as_json=as_json)


def parsed(row: str) -> dict[str, Any]:
    """A row that was given as JSON. Raises DataError L228."""
    try:
        found: dict[str, Any] = json.loads(row)
    except (ValueError, RecursionError) as error:
        raise DataError("L228", tr("the row is no JSON: {why}", why=str(error)[:80]), where="ROW") from error
    return found


def lines_of(one: dict[str, Any]) -> list[str]:
    """For people: what is said, then what speaks for it and against it."""
    if "error" in one:
        return [one["error"]]
    if one["method"] == "reasons":
        answer = one["answer"]
        named = next(value for value in answer.values() if isinstance(value, list))
        return table(list(zip(named, answer["because"], strict=True)), [tr("item"), tr("because of")])
    head = f"{one['label']}: {100 * one['value']:.1f} %" if "label" in one else f"{one['value']:.6g}"
    out = [click.style(head, bold=True)]
    columns = one["columns"] if len(one["columns"]) > 1 or not one["parts"] else []
    out += bars([(part["column"] + shown(part), part["effect"]) for part in columns])
    for column, parts in one["parts"].items():
        out += [click.style(column, bold=True), *bars([(name_of(part), part["effect"]) for part in parts])]
    return out


def shown(part: dict[str, Any]) -> str:
    """The cell, shortened."""
    return "" if "cell" not in part else f" = {part['cell']:.6g}" if isinstance(part["cell"], float) else f" = {str(part['cell'])[:24]}"


def name_of(part: dict[str, Any]) -> str:
    """A part by what it is."""
    if "box" in part:
        left, top, right, bottom = (round(100 * edge) for edge in part["box"])
        return f"{left}–{right} % × {top}–{bottom} %"
    return f"{part['from']} … {part['to'] - 1}" if "from" in part else str(part.get("text", part.get("tag")))


def bars(parts: list[tuple[str, float]]) -> list[str]:
    """The strongest first, to the right what speaks for the answer, to the left what speaks against it."""
    strongest = sorted(parts, key=lambda part: -abs(part[1]))[:MOST_SHOWN]
    most = max((abs(effect) for _, effect in strongest), default=0) or 1
    width = max((width_of(name) for name, _ in strongest), default=0)
    out = []
    for name, effect in strongest:
        length = round(BAR * abs(effect) / most)
        bar = " " * BAR + "│" + "█" * length if effect >= 0 else " " * (BAR - length) + "█" * length + "│"
        out.append(f"  {name}{' ' * (width - width_of(name))}  {effect:+10.4g}  {bar}")
    return out
