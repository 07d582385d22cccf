"""File name <-> kind: lists tasks, models and kinds without importing torch.

A new task, model or kind is a new file and nothing else: it is found by its name, and its class by the name without underscores.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from luban.errors import RecipeError
from luban.messages import tr

FOLDERS = ("tasks", "models", "kinds")
STATED = ("ROLE", "TAKES", "SIZES", "ENCODER", "ALIASES", "MANY")


@dataclass(frozen=True)
class Entry:
    """One file of the catalog, as far as it can be read without running it."""

    name: str
    folder: str
    summary: str
    stated: dict[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """What the architecture promises; empty for tasks and kinds."""
        return self.stated.get("ROLE", "")

    @property
    def takes(self) -> tuple[str, ...]:
        """The kinds of columns a model reads."""
        return tuple(self.stated.get("TAKES", ()))

    @property
    def aliases(self) -> dict[str, dict[str, Any]]:
        """Familiar names -> what they preset in the recipe."""
        return self.stated.get("ALIASES", {})


@cache
def entries(folder: str) -> dict[str, Entry]:
    """Everything in `tasks`, `models` or `kinds`, by name."""
    paths = sorted((Path(__file__).parent / folder).glob("[!_]*.py"))
    return {path.stem: read_entry(path, folder) for path in paths}


def read_entry(path: Path, folder: str) -> Entry:
    """First line of the docstring and the constants it states."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    summary = (ast.get_docstring(tree) or "").split("\n")[0]
    stated = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            stated |= {name: ast.literal_eval(value) for name, value in assignments(node) if name in STATED}
    return Entry(path.stem, folder, summary, stated)


def assignments(node: ast.Assign) -> list[tuple[str, ast.expr]]:
    """Names and values of `A = 1`, and of `A, B = 1, 2`."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        return [(target.id, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [(t.id, v) for t, v in zip(target.elts, value.elts, strict=True) if isinstance(t, ast.Name)]
    return []


def find(folder: str, name: str, *, where: str = "") -> Entry:
    """The entry of that name; an unknown one is an error with the nearest. Raises RecipeError L102."""
    known = entries(folder)
    if name in known:
        return known[name]
    what = {"tasks": tr("unknown task"), "models": tr("unknown model"), "kinds": tr("unknown kind of column")}[folder]
    names = [*known, *(task_aliases() if folder == "tasks" else ())]
    raise RecipeError(
        "L102",
        what,
        where=where,
        received=name,
        allowed=names,
        fix=tr("`luban {folder}` lists them", folder="tasks" if folder == "kinds" else folder),
    )


@cache
def task_aliases() -> dict[str, tuple[str, dict[str, Any]]]:
    """`text-classification` -> (`classification`, what it presets)."""
    found = {}
    for entry in entries("tasks").values():
        if "_" in entry.name:
            found[entry.name.replace("_", "-")] = (entry.name, {})
        for alias, preset in entry.aliases.items():
            found[alias] = (entry.name, preset)
    return found


@cache
def load(folder: str, name: str) -> Any:
    """The class of that name; imports its file, once."""
    entry = find(folder, name)
    module = importlib.import_module(f"luban.{folder}.{entry.name}")
    wanted = entry.name.replace("_", "")
    for attribute, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and attribute.lower() == wanted:
            return value
    raise RecipeError(
        "L103", tr("{folder}/{name}.py has no class of its name", folder=folder, name=name), where=f"luban/{folder}/{name}.py"
    )


def models_for(kind: str) -> list[str]:
    """Encoders that read this kind of column."""
    return [entry.name for entry in entries("models").values() if entry.role == "encoder" and kind in entry.takes]
