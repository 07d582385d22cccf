"""luban new DATA: look at the data, write recipe.toml with the guesses said aloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from luban.cli.output import as_json_option, quiet_option, show
from luban.errors import DataError, RecipeError
from luban.files import write_whole
from luban.messages import tr

MANY_ROWS = 20_000  # from which a budget is worth writing down


@click.command("new", help=tr("Look at the data and write a recipe, every guess with its reason."))
@click.argument("data")
@click.option("--target", help=tr("The column to learn; left out, guessed from the names."))
@click.option("--out", type=click.Path(path_type=Path), default=Path("recipe.toml"), show_default=True, help=tr("The recipe to write."))
@click.option("--force", is_flag=True, help=tr("Write over a recipe that is there."))
@as_json_option
@quiet_option
def command(data: str, target: str | None, out: Path, force: bool, as_json: bool) -> None:
    """Write a recipe. Raises RecipeError L195 where one is there already, DataError L244 without a target."""
    import os

    from luban.data.inference import guess
    from luban.data.logs import event_log
    from luban.data.reading import read

    if out.exists() and not force:
        raise RecipeError("L195", tr("a recipe is there already"), where=str(out), fix=tr("--force writes over it, --out names another"))
    table = read(data, base=Path()).table
    if target is not None and target not in table.columns:
        raise DataError("L201", tr("no such column"), where="--target", received=target, allowed=table.columns)
    place = Path(data) if Path(data).is_absolute() else Path(os.path.relpath(data, out.parent))
    if target is None and (log := event_log(table)):
        write_recipe(log_text(log, place.as_posix(), name=data), out)
        facts = {"recipe": str(out), "task": "recommendation", "target": None, "inputs": {}, "ignored": {}, "columns": log}
        show(facts, log_text(log, place.as_posix(), name=data).splitlines(), as_json=as_json, following=f"luban check {out}")
        return
    found = guess(table, target)
    if found.target is None or found.task is None:
        raise DataError(
            "L244",
            tr("no column can be the target: {why}", why=found.target_why or found.task_why),
            where=data,
            fix=tr("name it: --target COLUMN"),
        )
    text = recipe_text(found, place.as_posix(), name=data, rows=len(table))
    write_recipe(text, out)
    facts = {"recipe": str(out), "task": found.task, "target": found.target, "inputs": found.inputs, "ignored": found.ignored}
    show(facts, text.splitlines(), as_json=as_json, following=f"luban check {out}")


def write_recipe(text: str, out: Path) -> None:
    """Raises RecipeError L196."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, text.encode())
    except OSError as error:
        raise RecipeError("L196", tr("the recipe cannot be written: {why}", why=error.strerror or str(error)), where=str(out)) from error


def log_text(log: dict[str, str], place: str, *, name: str) -> str:
    """The recipe of a log of users and items."""
    from luban.recipe import toml_value

    lines = [
        tr("# Written by `luban new {name}`: every guess can be changed.", name=name),
        f"data = {toml_value(place)}",
        'model = "auto"',
        "",
        "[task]",
        f'kind = "recommendation"  # {tr("the columns are named like users and items, and both repeat")}',
        *(f"{role} = {toml_value(column)}" for role, column in log.items()),
        f"# {tr('a column of ratings or counts: weight = {example}', example=chr(34) + '…' + chr(34))}",
    ]
    return "\n".join(lines) + "\n"


def recipe_text(found: Any, place: str, *, name: str, rows: int) -> str:
    """The recipe with the reasons as comments."""
    from luban.recipe import toml_key, toml_value

    lines = [
        tr("# Written by `luban new {name}`: every guess can be changed.", name=name),
        f"task = {toml_value(found.task)}  # {one_line(found.task_why)}",
        f"data = {toml_value(place)}",
        f"target = {toml_value(found.target)}  # {one_line(found.target_why)}",
        "",
        "[inputs]",
        *(f"{toml_key(column)} = {toml_value(kind)}  # {one_line(found.why[column])}" for column, kind in found.inputs.items()),
        *(tr("# left out: {column} ({why})", column=one_line(column), why=one_line(why)) for column, why in found.ignored.items()),
    ]
    if rows >= MANY_ROWS or "image" in found.inputs.values():
        lines += ["", "[training]", 'budget = "5 min"']
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """Without line breaks: it stands in a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
