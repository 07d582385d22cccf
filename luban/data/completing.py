"""A recipe completed by what its data holds: inputs, target and split that it leaves open, found and said aloud."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from luban.capabilities import FindsInputs, FindsSplit, FindsTarget, columns_read, spared, used_beside
from luban.data.inference import guess
from luban.data.reading import read
from luban.data.source import Source
from luban.data.splits import ORDERED, Splitting
from luban.errors import DataError, say
from luban.messages import tr
from luban.recipe import Recipe

if TYPE_CHECKING:
    from luban.data.prepare import Prepared


def open_source(recipe: Recipe) -> tuple[Source, Recipe]:
    """Read the data; where the recipe names no inputs, infer them and say so."""
    used = [*recipe.inputs, target_of(recipe), *own_columns(recipe)] if recipe.inputs else None
    source = read(recipe.data, recipe.reading, base=recipe.base, used=[name for name in used if name] if used else None)
    return source, complete(recipe, source.table)


def complete(recipe: Recipe, table: pl.DataFrame) -> Recipe:
    """The recipe with its inputs, said aloud where they were inferred. Raises DataError L201, L225."""
    target = target_of(recipe)
    if target and target not in table.columns:
        raise DataError("L201", tr("no such column"), where="recipe.toml: target", received=target, allowed=table.columns)
    for role, column in columns_of(recipe).items():
        if column not in table.columns:
            fix = tr("write down which column it is: {example}", example=f'{role} = "…"')
            raise DataError(
                "L201", tr("no such column"), where=f"recipe.toml: task.{role}", received=column, allowed=table.columns, fix=fix
            )
    if not recipe.inputs and not own_columns(recipe):
        recipe = replace(recipe, inputs={column: {"kind": kind} for column, kind in inferred(recipe, table, target).items()})
        if not recipe.inputs:
            raise DataError("L225", tr("no column can be an input"), where="recipe.toml: inputs", fix=tr("name the inputs under [inputs]"))
        recipe.make_task()
    optional = spared(recipe.make_task())  # a task may do without, or says itself what is missing
    for column in recipe.inputs:
        if column not in table.columns and column not in optional:
            raise DataError("L201", tr("no such column"), where=f"recipe.toml: inputs.{column}", received=column, allowed=table.columns)
    return with_split(with_target(recipe, table), table)


def with_target(recipe: Recipe, table: pl.DataFrame) -> Recipe:
    """The recipe with the target that the task finds in such a table, where the recipe names none."""
    task = recipe.make_task()
    if recipe.target or not isinstance(task, FindsTarget) or not (found := task.target_of(table)):
        return recipe
    say(tr("target {column}", column=found))
    return replace(recipe, target=found)


def inferred(recipe: Recipe, table: pl.DataFrame, target: str | None) -> dict[str, str]:
    """Columns and kinds as the task finds them, where it looks itself, else by what they hold; said aloud."""
    task = recipe.make_task()
    if isinstance(task, FindsInputs):
        own: dict[str, str] = task.inputs_of(table)
        for column, kind in own.items():
            say(tr("input {column}: {kind}", column=column, kind=kind))
        return own
    found = guess(table, target)
    for column, kind in found.inputs.items():
        say(tr("input {column}: {kind} ({why})", column=column, kind=kind, why=found.why[column]))
    for column, why in found.ignored.items():
        say(tr("left out {column}: {why}", column=column, why=why))
    return found.inputs


def with_split(recipe: Recipe, table: pl.DataFrame) -> Recipe:
    """The recipe with the split that the task makes of such a table, where the recipe leaves it open."""
    task, asked = recipe.make_task(), recipe.split
    if not isinstance(task, FindsSplit) or asked.by or asked.group or asked.order:
        return recipe
    found = task.split_of(table)
    return replace(recipe, split=replace(asked, by=found.by, group=found.group, order=found.order))


def as_prepared(recipe: Recipe, prepared: Prepared) -> Recipe:
    """The recipe with what was inferred from the data."""
    found = prepared.recipe.split
    split = replace(recipe.split, by=found.by, group=found.group, order=found.order)
    return replace(recipe, inputs=prepared.recipe.inputs, target=prepared.recipe.target, split=split)


def target_of(recipe: Recipe) -> str | None:
    """The target column."""
    return recipe.target or None


def own_columns(recipe: Recipe) -> list[str]:
    """Columns that the task reads beside its inputs."""
    return list(columns_of(recipe).values())


def columns_of(recipe: Recipe) -> dict[str, str]:
    """The same by what they say, such as user and item."""
    return columns_read(recipe.make_task())


def splitting_of(recipe: Recipe) -> Splitting:
    """The recipe's split; what it leaves out, as the task has it."""
    default, asked = recipe.make_task().split, recipe.split
    by = asked.by or ("last" if asked.group and asked.order else "random" if asked.group else "time" if asked.order else default.by)
    group = asked.group or (default.group if by == default.by or by in ("last", "last_one", "ratio") else None)
    return replace(asked, by=by, group=group, order=asked.order or (default.order if by in ORDERED else None))


def divided_as(recipe: Recipe) -> dict[str, str | None]:
    """How the rows were divided, as the recipe has it once it is completed."""
    return {name: getattr(recipe.split, name) for name in ("by", "group", "order")}


def used_columns(recipe: Recipe, table: pl.DataFrame) -> list[str]:
    """Columns of the table that the recipe names."""
    task = recipe.make_task()
    wanted = {*recipe.inputs, target_of(recipe), recipe.split.group, recipe.split.order, *used_beside(task), *own_columns(recipe)}
    named = [column for column in table.columns if column in wanted]
    return named if recipe.inputs or target_of(recipe) or own_columns(recipe) else table.columns
