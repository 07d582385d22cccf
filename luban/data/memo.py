"""Which store a recipe's data became: keyed by data, recipe and the code that prepares."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from luban.checkpoints.paths import located, named
from luban.data.source import Source
from luban.files import write_whole
from luban.recipe import Recipe, to_dict

PREPARING = (
    "kinds/*.py",
    "tasks/*.py",
    "data/**/*.py",
    "tokenizing/*.py",
    "language/*.py",
    "recommending/*.py",
    "rewriting/*.py",
    "answering/*.py",
    "supervised.py",
    "columns.py",
    "pictures.py",
)


def remember(memo: Path, key: str, source: Source, allowed: int | None) -> None:
    """Which store the recipe's files became, under which allowance if that decided it."""
    paths = {path for _, path in source.files} | {path.parent for _, path in source.files}
    known = {"key": key, "memory": allowed, "files": [stat_of(path) for path in sorted(paths)]}
    write_whole(memo, json.dumps(known).encode())


def remembered(memo: Path, allowed: int) -> str | None:
    """The key of the store, if the files it came from are as they were, and the memory if that decided it."""
    try:
        known = json.loads(memo.read_text(encoding="utf-8"))
        unchanged = all(stat_of(Path(path)) == [path, size, time] for path, size, time in known["files"])
        unchanged = unchanged and known["memory"] in (None, allowed)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known["key"] if unchanged else None


def stat_of(path: Path) -> list[Any]:
    """Path, size and time of change; of a folder, its time of change."""
    status = path.stat()
    return [str(path), 0 if path.is_dir() else status.st_size, status.st_mtime_ns]


def recipe_key(recipe: Recipe) -> str:
    """What of the recipe and the code decides the prepared data."""
    values = to_dict(recipe)
    parts: dict[str, Any] = {key: values.get(key) for key in ("task", "data", "target", "inputs", "split", "reading")}
    if brought := checkpoints_of(recipe):
        parts["checkpoints"] = brought
    return digest(json.dumps([parts, recipe.training.seed, str(recipe.base.absolute())], sort_keys=True, default=str), code_version())


def checkpoints_of(recipe: Recipe) -> list[str]:
    """Of each pretrained model, what decides how its columns are encoded, and where it is asked for."""
    model = located(recipe.model, recipe.base)
    if model == named(model):
        return []
    from luban import pretrained

    return [json.dumps(named(model), sort_keys=True, default=str), *pretrained.fingerprint(model)]


@cache
def code_version() -> str:
    """A digest of the code that prepares."""
    root = Path(__file__).parents[1]
    files = sorted(path for pattern in PREPARING for path in root.glob(pattern))
    return digest(*(path.read_text(encoding="utf-8") for path in files))


def digest(*parts: str) -> str:
    """A short SHA-256."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
