"""Answers bound by a JSON schema: JSON that it allows, whatever the model would rather say, and nothing it allows is shut out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from luban.errors import RecipeError
from luban.generating.constrained import Constrained
from luban.generating.json_schema import grammar_of
from luban.generating.settings import Generation
from luban.generating.slots import Slots, generate
from luban.models.gpt import Gpt
from luban.tokenizing import tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["红", "big", 3]}, "minItems": 1, "maxItems": 2},
        "next": {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    },
    "required": ["name", "tags"],
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "number"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
            "required": ["v"],
        }
    },
}
GOOD: list[tuple[Any, str]] = [
    (PERSON, '{"name": "a", "tags": ["红"]}'),
    (PERSON, '{"name":"天地\\n","age":-12,"tags":[3,"big"],"next":null}'),
    (PERSON, '{"name": "🙂", "tags": [3], "next": true}'),
    (TREE, '{"v": -0.5e+3, "kids": [{"v": 1}, {"v": 2.25, "kids": []}]}'),
    (True, '{"a": [1, {"b": null}], "c": "x"}'),
    ({"type": ["string", "null"]}, "null"),
    ({"const": {"a": [1]}}, '{"a": [1]}'),
    ({"type": "array", "maxItems": 0}, "[]"),
    ({"type": "object", "additionalProperties": False}, "{}"),
]
BAD: list[tuple[Any, str]] = [
    (PERSON, '{"tags": ["红"], "name": "a"}'),
    (PERSON, '{"name": "", "tags": [3]}'),
    (PERSON, '{"name": "sixsix", "tags": [3]}'),
    (PERSON, '{"name": "a", "tags": []}'),
    (PERSON, '{"name": "a", "tags": [3, 3, 3]}'),
    (PERSON, '{"name": "a", "age": 1.5, "tags": [3]}'),
    (PERSON, '{"name": "a"}'),
    (TREE, '{"v": 01}'),
    (True, "{a: 1}"),
    (True, '"\ttab"'),
]


@pytest.mark.parametrize(("schema", "text"), GOOD)
def test_what_the_schema_allows_may_be_said(schema: Any, text: str) -> None:
    json.loads(text)
    grammar = grammar_of(schema)
    state = grammar.first
    for byte in text.encode():
        assert not grammar.is_whole(state) or text[0] in "-0123456789"
        state = grammar.step(state, byte)
    assert grammar.is_whole(state)


@pytest.mark.parametrize(("schema", "text"), BAD)
def test_what_it_does_not_allow_may_not(schema: Any, text: str) -> None:
    grammar = grammar_of(schema)
    state = grammar.read(text.encode())
    assert not grammar.is_whole(state)


@pytest.mark.parametrize("broken", [b'"\xff"', b'"\xe5\xa4"', b'"\xed\xa0\x80"', b'"\xc0\xaf"'])
def test_strings_are_well_formed_utf8(broken: bytes) -> None:
    assert not grammar_of({"type": "string"}).read(broken)


OWN = {
    form: tokenizer.learn(['{"name": "abc", "tags": [3], "big": null, "age": 12} 红天地 ' * 9], form, 600) for form in ("characters", "bpe")
}


@pytest.mark.parametrize("form", OWN)
@pytest.mark.parametrize("schema", [PERSON, TREE, {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}])
def test_a_model_of_random_weights_says_what_the_schema_allows(form: str, schema: dict[str, Any]) -> None:
    torch.manual_seed(3)
    own = OWN[form]
    net = Gpt(Gpt.Config(width=28, layers=1, heads=2, context=600), own.num_tokens).eval()
    work = Slots(net, own, slots=4)
    answers = []
    for seed in range(6):
        settings = Generation(temperature=1.0, max_tokens=500, seed=seed)
        answers.append(work.add(np.array([0, 5]), settings, allowed=Constrained(grammar_of(schema), own, own.num_tokens)))
    while work.busy:
        work.step()
    whole = [answer for answer in answers if answer.finish == "stop"]
    assert whole, "every answer ran into the context"
    for answer in whole:
        found = json.loads(answer.text)
        assert grammar_of(schema).is_whole(grammar_of(schema).read(answer.text.encode()))
        if schema is PERSON:
            assert 1 <= len(found["name"]) <= 5
            assert set(found) <= set(PERSON["properties"])
    for answer in answers:
        assert grammar_of(schema).read(answer.text.encode()), "not even a beginning"


def test_settings_bind_answers() -> None:
    torch.manual_seed(3)
    own = OWN["bpe"]
    net = Gpt(Gpt.Config(width=28, layers=1, heads=2, context=60), own.num_tokens).eval()
    settings = Generation(json_schema={"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2})
    found = [json.loads(answer.text) for answer in generate(net, own, [np.array([0, 5]), np.array([0])], settings)]
    assert all(len(values) == 2 and all(isinstance(value, bool) for value in values) for values in found)
    with pytest.raises(RecipeError, match="L279"):
        Generation(json_schema={"type": "string", "pattern": "a"})


def test_masks_are_those_of_every_token_tried_by_itself() -> None:
    own, grammar = OWN["bpe"], grammar_of(PERSON)
    bound = Constrained(grammar, own, own.num_tokens + 7)
    for text in ('{"na', '{"name": "a', '{"name": "a", "tags": [3', '{"name": "a", "tags": [3]}'):
        said = own.encode([text]).flat().tolist()
        state = grammar.read(text.encode())
        wanted = {token for token, data in enumerate(own.bytes) if data and grammar.read(data, state)}
        wanted |= set(own.stops) if grammar.is_whole(state) else set()
        assert set(bound(said).nonzero().flatten().tolist()) == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "string", "pattern": "a+"},
        {"type": "number", "minimum": 3},
        {"type": "what"},
        {"$ref": "#/nowhere"},
        {"enum": []},
        3,
        {"type": "object", "properties": {"a": {}}, "required": ["b"]},
    ],
)
def test_what_cannot_be_promised_is_a_named_error(wrong: Any) -> None:
    with pytest.raises(RecipeError, match="L279"):
        grammar_of(wrong)
