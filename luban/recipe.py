"""The recipe: read, complete, validate, write. TOML in, frozen dataclasses out.

No interpolation, no inheritance between files, no dotted paths to code, no look-ups in the environment.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from luban import catalog
from luban.capabilities import Guards
from luban.checkpoints.paths import folders, located
from luban.data.reading import Reading
from luban.data.splits import Splitting
from luban.energy import Costs
from luban.errors import RecipeError
from luban.evaluation.settings import Evaluation
from luban.files import write_whole
from luban.memory import bytes_of
from luban.messages import tr
from luban.schema import as_dict, validate
from luban.task import Traits, traits_of
from luban.training.budget import check_budget
from luban.training.settings import Training

SECTIONS = {"split": Splitting, "reading": Reading, "training": Training, "evaluation": Evaluation, "costs": Costs}
TOP = ("task", "data", "target", "inputs", "model", *SECTIONS)
GIVEN = ("inputs", "target", "model")  # fields of a task's Config that the recipe's own sections fill
AUTO_SIZE, MIDDLE = "auto", "small"  # the size that the budget decides, and the one that stands for it till then
MAX_BYTES = 1_000_000
DEEPEST = 16


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A validated recipe; `inputs` is empty until the kinds were inferred from the data."""

    task: dict[str, Any]  # kind, and the task's own settings
    data: Any
    target: Any = None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
    split: Splitting = field(default_factory=Splitting)
    reading: Reading = field(default_factory=Reading)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    costs: Costs = field(default_factory=Costs)
    base: Path = Path()
    name: str = "recipe"
    file: str = "recipe.toml"  # what errors name

    def make_task(self, **changes: Any) -> Any:
        """The task this recipe describes, not yet fitted."""
        return task_of(replace(self, **changes) if changes else self)


def read(path: str | Path, sets: tuple[str, ...] = ()) -> Recipe:
    """Read and validate a recipe file. Raises RecipeError L100 … L119."""
    path = Path(path)
    if path.is_dir() and (path / "recipe.toml").is_file():
        path = path / "recipe.toml"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError("L101", tr("a recipe is at most {n} bytes", n=MAX_BYTES), where=str(path))
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        near = [str(p) for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise RecipeError(
            "L100", tr("no such recipe"), where=str(path), received=str(path), allowed=near, fix=tr("`luban new DATA` writes one")
        ) from error
    except (ValueError, RecursionError, OSError) as error:  # of a number of 5000 digits tomllib raises a bare ValueError
        raise RecipeError("L101", tr("not TOML: {why}", why=str(error)[:200]), where=str(path)) from error
    name = path.stem if path.stem != "recipe" else path.absolute().parent.name or path.stem
    return parse(raw, base=path.parent, name=name, file=path.name, sets=sets)


def given(recipe: Recipe | str | Path | dict[str, Any], sets: tuple[str, ...] = ()) -> Recipe:
    """A recipe from a path or a dictionary, or as it is."""
    if isinstance(recipe, Recipe):
        return recipe
    return parse(recipe, sets=sets) if isinstance(recipe, dict) else read(recipe, sets)


def replace_base(recipe: Recipe, base: Path) -> Recipe:
    """The same recipe, its data seen from another folder."""
    return replace(recipe, base=base)


def parse(raw: dict[str, Any], *, base: Path = Path(), name: str = "recipe", file: str = "", sets: tuple[str, ...] = ()) -> Recipe:
    """A dictionary as a validated recipe."""
    raw = apply_sets(raw, sets)
    where = file = file or f"{name}.toml"
    for key in raw:
        if key not in TOP:
            raise RecipeError("L104", tr("unknown key"), where=f"{where}: {key}", received=key, allowed=TOP)
    for key in ("task", "data"):
        if key not in raw:
            raise RecipeError(
                "L106",
                tr("a key is missing"),
                where=f"{where}: {key}",
                fix=tr("write it down: {example}", example='task = "classification"' if key == "task" else 'data = "file.csv"'),
            )
    task, model, inputs = sections(raw, where)
    traits = traits_of(catalog.load("tasks", task["kind"]))
    usual = {"reading": dict(traits.reading), "training": usual_training(traits, model, raw.get("training", {}))}
    given = {key: completed(raw.get(key, {}), usual.get(key, {})) for key in SECTIONS}
    parts = {key: validate(config, given[key], where=f"{where}: {key}") for key, config in SECTIONS.items()}
    if traits.scaling is not None and parts["training"].budget is not None and is_bare(raw.get("model", "auto")):
        model = model | {"size": AUTO_SIZE}
    recipe = Recipe(
        task=task, data=raw["data"], target=raw.get("target"), inputs=inputs, model=model, base=base, name=name, file=file, **parts
    )
    check_data(recipe, where)
    if recipe.training.budget is not None:
        check_budget(recipe.training.budget, recipe.costs)
    if recipe.training.memory is not None:
        bytes_of(recipe.training.memory)
    check_size(recipe, where)
    task_of(recipe)
    return recipe


def completed(section: Any, usual: dict[str, Any]) -> Any:
    """The section with what is usual where it says nothing; what is no table is left for validation to refuse."""
    return usual | section if isinstance(section, dict) else section


def usual_training(traits: Traits, model: dict[str, Any], stated: Any) -> dict[str, Any]:
    """How the task's networks learn best from nothing, where the recipe says nothing of that."""
    usual = dict(traits.training)
    silent = isinstance(stated, dict) and not {*stated} & {*usual, "learning_rate"}
    return usual if silent and not model.get("pretrained") else {}


def is_bare(model: Any) -> bool:
    """Whether a section of a model says nothing of how large it is."""
    return isinstance(model, str) or not {*model} - {"kind"}


def sections(raw: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Task, model and inputs; a text where a table with a kind is wanted means the kind."""
    task = as_section(raw["task"], f"{where}: task")
    kind, preset = catalog.task_aliases().get(task["kind"], (task["kind"], {}))
    catalog.find("tasks", kind, where=f"{where}: task")
    model = {"kind": "auto", "size": "small"} | as_section(raw.get("model", "auto"), f"{where}: model", default="auto")
    inputs = raw.get("inputs", {})
    if not isinstance(inputs, dict):
        raise RecipeError("L105", tr("a table of keys is wanted here"), where=f"{where}: inputs", received=inputs)
    return (
        preset | task | {"kind": kind},
        model,
        {column: as_section(value, f"{where}: inputs.{column}") for column, value in inputs.items()},
    )


def as_section(value: Any, where: str, default: str | None = None) -> dict[str, Any]:
    """`"text"` as `{kind = "text"}`. Raises RecipeError L105, L106."""
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict):
        raise RecipeError("L105", tr("a kind, or a table of keys, is wanted here"), where=where, received=value)
    if "kind" not in value and default is None:
        raise RecipeError("L106", tr("a key is missing"), where=f"{where}.kind", fix=tr("write it down"))
    if not isinstance(value.get("kind", default), str):
        raise RecipeError("L105", tr("a kind, or a table of keys, is wanted here"), where=f"{where}.kind", received=value.get("kind"))
    return {"kind": value.get("kind", default)} | value


def task_of(recipe: Recipe) -> Any:
    """The task, its settings validated against its Config."""
    task = catalog.load("tasks", recipe.task["kind"])
    names = {f.name for f in dataclasses.fields(task.Config)}
    own = {key: value for key, value in recipe.task.items() if key != "kind"}
    where = recipe.file
    for key in GIVEN:
        value = located(sized(recipe.model), recipe.base) if key == "model" else getattr(recipe, key)
        if key in names and (value or key != "target"):
            own[key] = value
        elif value and key == "target":
            raise RecipeError("L104", tr("this task takes no target"), where=f"{where}: target", received=value)
    config = validate(task.Config, own, where=f"{where}: task")
    made = task(config)
    if isinstance(made, Guards):
        made.check_config(config, where=where)
    return made


def sized(model: dict[str, Any]) -> dict[str, Any]:
    """The section with a size that the model has, where the budget is still to decide it."""
    return model | {"size": MIDDLE} if model.get("size") == AUTO_SIZE else model


def check_size(recipe: Recipe, where: str) -> None:
    """Raises RecipeError L130: without a budget nothing decides a size."""
    if recipe.model.get("size") == AUTO_SIZE and recipe.training.budget is None:
        what, fix = tr("a budget decides the size, and there is none"), 'budget = "10 min"'
        raise RecipeError("L130", what, where=f"{where}: training.budget", received=AUTO_SIZE, fix=fix)


def check_data(recipe: Recipe, where: str) -> None:
    """`data` is a path, a list of paths, or a table of splits."""
    data = recipe.data
    if isinstance(data, dict):
        for key in data:
            if key not in ("train", "validation", "test"):
                raise RecipeError(
                    "L104", tr("unknown key"), where=f"{where}: data.{key}", received=key, allowed=("train", "validation", "test")
                )
        if "train" not in data:
            raise RecipeError("L106", tr("a key is missing"), where=f"{where}: data.train", fix=tr("write it down"))
        data = list(data.values())
    for part in data if isinstance(data, list) else [data]:
        for path in part if isinstance(part, list) else [part]:
            if not isinstance(path, str) or not path:
                raise RecipeError("L105", tr("wrong type: wanted {wanted}", wanted=tr("a text")), where=f"{where}: data", received=path)


def apply_sets(raw: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    """`training.epochs=3` put into the dictionary; the value is read as TOML, else as text."""
    raw = copy_tables(raw)
    for assignment in sets:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise RecipeError("L107", tr("--set wants key=value"), where="--set", received=assignment, fix="--set training.epochs=3")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        *tables, last = path.strip().split(".", DEEPEST)
        place = raw
        for table in tables:
            if isinstance(place.get(table), str):
                place[table] = {"kind": place[table]}
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise RecipeError("L107", tr("--set wants key=value"), where="--set", received=assignment, fix="--set training.epochs=3")
        place[last] = value
    return raw


def copy_tables(value: Any, depth: int = 0) -> Any:
    """A copy as deep as tables and lists go. Raises RecipeError L124 for tables within tables without end."""
    if depth > DEEPEST:
        raise RecipeError("L124", tr("nested too deeply"), fix=tr("a recipe has at most {n} levels", n=DEEPEST))
    if isinstance(value, dict):
        return {key: copy_tables(part, depth + 1) for key, part in value.items()}
    return [copy_tables(part, depth + 1) for part in value] if isinstance(value, list) else value


def moved(recipe: Recipe, folder: Path) -> Recipe:
    """The same recipe as a file in another folder would say it: relative paths of the data are seen from there."""

    def seen(data: Any) -> Any:
        if isinstance(data, str):
            return data if Path(data).is_absolute() else Path(os.path.relpath(recipe.base / data, folder)).as_posix()
        return [seen(part) for part in data] if isinstance(data, list) else {key: seen(part) for key, part in data.items()}

    return replace(recipe, data=seen(recipe.data), model=folders(recipe.model, seen), base=folder)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The completed recipe as plain values, in the order people read it."""
    out: dict[str, Any] = {"task": recipe.task if len(recipe.task) > 1 else recipe.task["kind"], "data": recipe.data}
    if recipe.target is not None:
        out["target"] = recipe.target
    out["inputs"] = {column: section if len(section) > 1 else section["kind"] for column, section in recipe.inputs.items()}
    out["model"] = recipe.model
    return out | {key: as_dict(getattr(recipe, key)) for key in SECTIONS}


def write(recipe: Recipe, path: Path, *, header: str = "") -> None:
    """Write the completed recipe; reading it back gives the same one."""
    values = to_dict(recipe)
    lines = [f"# {line}" for line in header.splitlines()]
    flat = {key: value for key, value in values.items() if not isinstance(value, dict) or key in ("task", "data")}
    lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in flat.items()]
    for key, table in values.items():
        if key not in flat:
            lines += ["", f"[{key}]", *(f"{toml_key(name)} = {toml_value(value)}" for name, value in table.items())]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def toml_key(key: str) -> str:
    """A bare key where TOML allows it."""
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else toml_value(key)


def toml_value(value: Any) -> str:
    """One TOML value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(
            c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in value
        )
        return f'"{escaped}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(part) for part in value) + "]"
    return repr(value)
