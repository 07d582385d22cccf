"""A dictionary against a frozen dataclass: unknown keys, wrong types and values become one coded error each.

The dataclass is the only place a setting is described: its type, its default, and the docstring under the field.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import math
import typing
from functools import cache
from textwrap import dedent
from typing import Any, TypeVar

from luban.errors import RecipeError
from luban.messages import tr

T = TypeVar("T")


def validate(config: type[T], values: dict[str, Any], *, where: str, also: tuple[str, ...] = ()) -> T:
    """The dataclass filled with the values. `also` names keys allowed beside them, read by others.

    Raises RecipeError L104 for an unknown key, L105 for a value of the wrong type or range, L106 for a missing key.
    """
    if not isinstance(values, dict):
        raise RecipeError("L105", tr("a table of keys is wanted here"), where=where, received=values)
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    for key in values:
        if key not in names and key not in also:
            raise RecipeError("L104", tr("unknown key"), where=f"{where}.{key}", received=key, allowed=[*names, *also])
    for key, inner in sections(config).items():
        if isinstance(values.get(key), dict):
            check_names(inner, values[key], f"{where}.{key}")
    return check_types(config, {key: value for key, value in values.items() if key in names}, where)


@cache
def sections(config: type) -> dict[str, type]:
    """The fields that are dataclasses themselves, or may be."""
    found = {}
    for name, hint in typing.get_type_hints(config).items():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                found[name] = part
    return found


def check_names(config: type, values: dict[str, Any], where: str) -> None:
    """No key that the dataclass, or one within it, does not know: pydantic passes over them. Raises RecipeError L104."""
    names = [field.name for field in dataclasses.fields(config)]
    for key, value in values.items():
        if key not in names:
            raise RecipeError("L104", tr("unknown key"), where=f"{where}.{key}", received=key, allowed=names)
        if isinstance(value, dict) and key in sections(config):
            check_names(sections(config)[key], value, f"{where}.{key}")


def check_types(config: type[T], values: dict[str, Any], where: str) -> T:
    """Let pydantic hold the values against the types, strictly: no text becomes a number."""
    from pydantic import ValidationError

    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError("L105", tr("wrong type: wanted {wanted}", wanted=tr("a number")), where=f"{where}.{key}", received=value)
    try:
        return adapter(config).validate_json(json.dumps(values, ensure_ascii=False, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (where, *first["loc"][:1]))
        if first["type"] == "missing":
            raise RecipeError("L106", tr("a key is missing"), where=place, fix=tr("write it down")) from error
        received = values.get(str(first["loc"][0])) if first["loc"] else values
        raise RecipeError("L105", describe(first), where=place, received=received, allowed=allowed_values(first)) from error
    except ValueError as error:
        raise RecipeError("L105", str(error), where=where, received=values) from error


@cache
def adapter(config: type) -> Any:
    """pydantic's reader of one dataclass."""
    from pydantic import TypeAdapter

    return TypeAdapter(config)


def describe(problem: Any) -> str:
    """What is wrong, in the reader's language."""
    context = problem.get("ctx", {})
    kind = problem["type"]
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        sign = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}[kind]
        return tr("the value must be {sign} {limit}", sign=sign, limit=next(iter(context.values())))
    if kind == "literal_error":
        return tr("unknown value")
    if kind == "value_error":
        return str(context.get("error", problem["msg"]))
    wanted = {"int": tr("a whole number"), "float": tr("a number"), "bool": tr("true or false"), "string": tr("a text")}
    return tr("wrong type: wanted {wanted}", wanted=wanted.get(kind.split("_")[0], problem["msg"]))


def allowed_values(problem: Any) -> list[str]:
    """The values a choice allows."""
    expected = problem.get("ctx", {}).get("expected", "") if problem["type"] == "literal_error" else ""
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",") if part.strip()]


@cache
def field_docs(config: type) -> dict[str, str]:
    """The docstring under each field, for the reference page."""
    body = ast.parse(dedent(inspect.getsource(config))).body[0]
    docs, name = {}, ""
    for node in body.body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            docs[name] = inspect.cleandoc(str(node.value.value))
            name = ""
    return docs


def as_dict(config: Any) -> dict[str, Any]:
    """The settings as plain values, without those left at None."""
    values = dataclasses.asdict(config)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value is not None}
