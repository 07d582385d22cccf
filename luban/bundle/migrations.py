"""Bundles of older formats, made new while they are read: each step leads from one format to the next, nothing is written.

1 · 2026: the first
2 · 2026: tokenizers stand in tokenizers.json instead of as text within state.json; fingerprint.json
3 · 2026: weights of layers may be whole numbers of 8 bits and their scales; a column of languages stands in the signature
4 · 2026: the head of a decoder is a matrix of its own where nothing is said of it
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from luban.kinds.text import MOST_TOKENS
from luban.messages import tr

Parts = dict[str, Any]  # file name -> its value
SPEAKERS = ("language_modeling", "chat")


def migrate(parts: Parts, number: int) -> Parts:
    """The parts as the newest format has them."""
    for step in STEPS[number - 1 :]:
        parts = step(parts)
    return parts


def tokenizers_apart(parts: Parts) -> Parts:
    """1 -> 2."""
    state, tokenizers = take_tokenizers(parts["state.json"])
    return parts | {"state.json": state, "tokenizers.json": tokenizers}


def languages_asked(parts: Parts) -> Parts:
    """2 -> 3."""
    description = parts["luban.json"]
    section = description["recipe"]["task"]
    column = section.get("language") if isinstance(section, dict) else None
    if not column or description["task"] != "text_to_text":
        return parts
    signature = description["signature"]
    asked = signature | {"inputs": signature["inputs"] | {column: "category"}}
    return parts | {"luban.json": description | {"signature": asked}}


def heads_stated(parts: Parts) -> Parts:
    """3 -> 4."""
    description = parts["luban.json"]
    section = description["recipe"].get("model")
    own = (
        isinstance(section, dict) and section.get("kind") in ("auto", "gpt") and not section.get("pretrained")
    )  # a checkpoint states its head
    if description["task"] not in SPEAKERS or not own:
        return parts
    recipe = description["recipe"] | {"model": {"tied": True} | section}
    return parts | {"luban.json": description | {"recipe": recipe}}


STEPS: tuple[Callable[[Parts], Parts], ...] = (tokenizers_apart, languages_asked, heads_stated)


def take_tokenizers(state: Any) -> tuple[Any, dict[str, Any]]:
    """The state without its columns' tokenizers, and these by column."""
    inputs = (state or {}).get("inputs", {})
    found = {column: json.loads(spec["tokenizer"]) for column, spec in inputs.items() if "tokenizer" in spec}
    if not found:
        return state, {}
    bare = {column: {key: value for key, value in spec.items() if key != "tokenizer"} for column, spec in inputs.items()}
    return state | {"inputs": bare}, found


def put_tokenizers(state: Any, tokenizers: dict[str, Any]) -> Any:
    """The state as the task knows it. Raises ValueError where a tokenizer stands in both, belongs to no column, or is larger than any can be."""
    specs = (state or {}).get("inputs", {})
    if not tokenizers.keys() <= specs.keys() or any("tokenizer" in spec for spec in specs.values()):
        raise ValueError(tr("a tokenizer stands where none belongs"))
    if any(size_of(found) > MOST_TOKENS for found in tokenizers.values()):
        raise ValueError(tr("more parts than a bundle can need"))
    held = {column: {"tokenizer": json.dumps(found, ensure_ascii=False)} for column, found in tokenizers.items()}
    return state | {"inputs": {column: spec | held.get(column, {}) for column, spec in specs.items()}} if held else state


def size_of(tokenizer: Any) -> int:
    """Tokens of a vocabulary in the form of `tokenizers`; 0 of other forms, which have bounds of their own."""
    model = tokenizer.get("model") if isinstance(tokenizer, dict) else None
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    return len(vocabulary) if isinstance(vocabulary, dict | list) else 0
