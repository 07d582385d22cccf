"""A JSON schema as a grammar: whatever is said by it is JSON that the schema allows.

Objects say their properties in the schema's order, those that are not required or not; a space may follow a colon or a comma.
What a grammar of bytes cannot promise (patterns, ranges of numbers) is an error, never passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from luban.errors import RecipeError
from luban.generating.grammar import Either, Grammar, Many, Name, OneOf, Row, Term, Text
from luban.messages import tr

NOTES = ("title", "description", "default", "examples", "$schema", "$id", "$defs", "definitions", "$comment", "readOnly", "writeOnly")
KEYS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength"),
    "number": (), "integer": (), "boolean": (), "null": (),
}  # fmt: skip
DIGITS, MOST_DIGITS = frozenset(b"0123456789"), 15


def span(first: int, last: int) -> OneOf:
    """Any byte of a range."""
    return OneOf(frozenset(range(first, last + 1)))


TAIL = span(0x80, 0xBF)
CHARACTER = Either(
    (
        OneOf(frozenset(range(0x20, 0x7F)) - {0x22, 0x5C}),
        Row((Text(b"\\"), OneOf(frozenset(b'"\\/bfnrt')))),
        Row((span(0xC2, 0xDF), TAIL)),  # UTF-8, well formed: Unicode 15, table 3-7
        Row((Text(b"\xe0"), span(0xA0, 0xBF), TAIL)),
        Row((Either((span(0xE1, 0xEC), span(0xEE, 0xEF))), TAIL, TAIL)),
        Row((Text(b"\xed"), span(0x80, 0x9F), TAIL)),
        Row((Text(b"\xf0"), span(0x90, 0xBF), TAIL, TAIL)),
        Row((span(0xF1, 0xF3), TAIL, TAIL, TAIL)),
        Row((Text(b"\xf4"), span(0x80, 0x8F), TAIL, TAIL)),
    )
)
SPACE = Many(Text(b" "), 0, 1)
COMMA, COLON = Row((Text(b","), SPACE)), Row((Text(b":"), SPACE))
DIGIT = OneOf(DIGITS)
WHOLE = Row((Many(Text(b"-"), 0, 1), Either((Text(b"0"), Row((OneOf(DIGITS - {0x30}), Many(DIGIT, 0, MOST_DIGITS)))))))
EXPONENT = Row((OneOf(frozenset(b"eE")), Many(OneOf(frozenset(b"+-")), 0, 1), Many(DIGIT, 1, 2)))
NUMBER = Row((WHOLE, Many(Row((Text(b"."), Many(DIGIT, 1, MOST_DIGITS))), 0, 1), Many(EXPONENT, 0, 1)))
STRING = Row((Text(b'"'), Many(CHARACTER), Text(b'"')))
PLAIN: dict[str, Term] = {
    "string": STRING, "number": NUMBER, "integer": WHOLE, "boolean": Either((Text(b"true"), Text(b"false"))), "null": Text(b"null"),
}  # fmt: skip


def grammar_of(schema: Any, where: str = "json_schema") -> Grammar:
    """The grammar. Raises RecipeError L279 for what it cannot promise."""
    rules: dict[str, Term] = {
        "any": Either((*PLAIN.values(), Name("any object"), Name("any array"))),
        "any object": braces(listed(Row((STRING, COLON, Name("any"))), 0, None), b"{}"),
        "any array": braces(listed(Name("any"), 0, None), b"[]"),
    }
    for group in ("$defs", "definitions"):
        for name, part in (schema.get(group) or {}).items() if isinstance(schema, Mapping) else ():
            rules[f"#/{group}/{name}"] = term_of(part, f"{where}.{group}.{name}", schema)
    rules["start"] = term_of(schema, where, schema)
    return Grammar(rules)


def term_of(schema: Any, where: str, root: Any) -> Term:
    """One schema. Raises RecipeError L279."""
    if schema is True or schema == {}:
        return Name("any")
    if not isinstance(schema, Mapping):
        raise cannot(where, schema)
    if "$ref" in schema:
        return referred(schema, where, root)
    for key in ("enum", "const"):
        if key in schema:
            only(schema, where, (key, "type"))
            values = schema["enum"] if key == "enum" else [schema["const"]]
            if not isinstance(values, list) or not values:
                raise cannot(f"{where}.{key}", values)
            return Either(tuple(Text(json.dumps(value, ensure_ascii=False).encode()) for value in values))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            only(schema, where, (key,))
            return Either(tuple(term_of(part, f"{where}.{key}", root) for part in schema[key]))
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        return Either(tuple(term_of(pick(schema, one), where, root) for one in kind))
    if kind not in KEYS:
        raise cannot(f"{where}.type", kind)
    only(schema, where, ("type", *KEYS[kind]))
    return typed(schema, kind, where, root)


def typed(schema: Mapping[str, Any], kind: str, where: str, root: Any) -> Term:
    """Of one type."""
    if kind == "object":
        return object_of(schema, where, root)
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return braces(listed(term_of(schema.get("items", True), f"{where}.items", root), least, most), b"[]")
    if kind == "string" and ("minLength" in schema or "maxLength" in schema):
        return Row((Text(b'"'), Many(CHARACTER, schema.get("minLength", 0), schema.get("maxLength")), Text(b'"')))
    return PLAIN[kind]


def object_of(schema: Mapping[str, Any], where: str, root: Any) -> Term:
    """Properties in their order; those not required may be left out."""
    properties = schema.get("properties", {})
    if not properties:
        return Name("any object") if schema.get("additionalProperties", True) else Text(b"{}")
    required = set(schema.get("required", ()))
    if unknown := sorted(required - properties.keys()):
        raise cannot(f"{where}.required", unknown[0])
    rest: dict[bool, Term] = {False: Text(b"}"), True: Text(b"}")}  # by whether a property stands before
    for name, part in reversed(list(properties.items())):
        said = Row((Text(json.dumps(name, ensure_ascii=False).encode()), COLON, term_of(part, f"{where}.{name}", root), rest[True]))
        rest = {
            before: (lead if name in required else Either((lead, rest[before])))
            for before, lead in ((False, said), (True, Row((COMMA, said))))
        }
    return Row((Text(b"{"), rest[False]))


def listed(item: Term, least: int, most: int | None) -> Term:
    """Items with commas between them."""
    if most == 0:
        return Text(b"")
    more = Row((item, Many(Row((COMMA, item)), max(0, least - 1), None if most is None else most - 1)))
    return more if least else Many(more, 0, 1)


def braces(inner: Term, pair: bytes) -> Term:
    """Between two marks."""
    return Row((Text(pair[:1]), inner, Text(pair[1:])))


def referred(schema: Mapping[str, Any], where: str, root: Any) -> Term:
    """`#/$defs/name`, or `#` for the whole. Raises RecipeError L279."""
    only(schema, where, ("$ref",))
    name = schema["$ref"]
    if name == "#":
        return Name("start")
    parts = str(name).split("/")
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in ("$defs", "definitions") or parts[2] not in root.get(parts[1], {}):
        raise cannot(f"{where}.$ref", name)
    return Name(name)


def pick(schema: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """The schema as of one of its types."""
    allowed = (*KEYS.get(kind, ()), *NOTES)
    return {key: value for key, value in schema.items() if key in allowed} | {"type": kind}


def only(schema: Mapping[str, Any], where: str, keys: tuple[str, ...]) -> None:
    """Raises RecipeError L279 for a key whose promise could not be kept."""
    for key in schema:
        if key not in keys and key not in NOTES:
            raise cannot(f"{where}.{key}", schema[key], keys)


def cannot(where: str, received: Any, allowed: tuple[str, ...] = ()) -> RecipeError:
    """The error."""
    fix = tr("leave it out, and check the answer for it")
    return RecipeError(
        "L279", tr("this part of a JSON schema cannot be promised"), where=where, received=received, allowed=allowed, fix=fix
    )
