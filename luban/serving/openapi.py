"""OpenAPI 3.1 of what is served now: each model's route with the columns it reads, its answers, and an example that was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import luban
from luban.bundle import golden
from luban.serving.hosted import Hosted
from luban.serving.routes import capabilities
from luban.serving.settings import Limits

if TYPE_CHECKING:
    from luban.serving.app import Service

Schema = dict[str, Any]
JSON = "application/json"
MOST_NAMES = 200
PROBLEMS = {
    "400": "Not HTTP, not JSON, or a parameter that is not supported", "401": "A key is wanted", "403": "A page of a foreign origin asks",
    "404": "No such model or address", "408": "Too slow", "413": "Too large", "415": "Another type of body", "421": "Another host",
    "422": "Cells or JSON that the model cannot read", "429": "Too many requests; see Retry-After",
    "503": "Stopping, or out of time; see Retry-After",
}  # fmt: skip


def describe(service: Service) -> Schema:
    """The whole document."""
    paths: dict[str, Any] = {path: {"get": plain(path, what)} for path, what in PLAIN.items()}
    for hosted in service.shelf.models.values():
        paths[f"/v1/predict/{quote(hosted.name)}"] = {"post": predicting(hosted, service.limits)}
        if "explain" in capabilities(hosted):
            paths[f"/v1/explain/{quote(hosted.name)}"] = {"post": explaining(hosted, service.limits)}
    spoken = {route for hosted in service.shelf.models.values() for can in capabilities(hosted) for route in SPOKEN.get(can, ())}
    paths |= {path: {"post": speaking(path, service, can)} for path, can in WANTS.items() if path in spoken}
    document: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "Luban", "version": luban.__version__, "description": "Bundles as a service."},
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM}, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
    return document | ({"security": [{"key": []}]} if service.keys else {})


SPOKEN = {"generate": ("/v1/chat/completions", "/v1/completions"), "embed": ("/v1/embeddings",)}
WANTS = {"/v1/chat/completions": "messages", "/v1/completions": "prompt", "/v1/embeddings": "input"}


ANY: Schema = {"anyOf": [{"type": "string"}, {"type": "array"}]}
TOKENS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
TAKEN: dict[str, Schema] = {
    "prompt": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, TOKENS, {"type": "array", "items": TOKENS}]}
}


def speaking(path: str, service: Service, wanted: str) -> Schema:
    """A route that clients of language models know; the fields are theirs."""
    can = "embed" if wanted == "input" else "generate"
    names = [hosted.name for hosted in service.shelf.models.values() if can in capabilities(hosted)]
    fields = {"model": {"enum": names}, wanted: TAKEN.get(wanted, ANY)} | ({} if can == "embed" else asked_of_answers(service.limits))
    content = {JSON: {"schema": {"type": "object", "properties": fields, "required": ["model", wanted]}}}
    answer = {"description": "As clients of language models know it", "content": {JSON: {"schema": {"type": "object"}}}}
    if can == "generate":
        answer["content"] |= {"text/event-stream": {"schema": {"type": "string"}}}
    return {"summary": f"{path.removeprefix('/v1/')} of {', '.join(names)}", "operationId": path.strip("/").replace("/", "_"),
            "requestBody": {"required": True, "content": content}, "responses": {"200": answer, **refusals(*PROBLEMS)}}  # fmt: skip


def asked_of_answers(limits: Limits) -> Schema:
    """What every generated answer can be asked for; a task may know more."""
    text, tokens = {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": limits.tokens}
    return {
        "stream": {"type": "boolean"}, "max_tokens": tokens, "max_completion_tokens": tokens, "seed": {"type": "integer", "minimum": 0},
        "temperature": {"type": "number", "minimum": 0}, "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "n": {"type": "integer", "minimum": 1, "maximum": limits.choices}, "stop": {"anyOf": [text, {"type": "array", "items": text}]},
    }  # fmt: skip


PLAIN = {
    "/health/live": "Whether the process runs", "/health/ready": "Whether requests are wanted", "/metrics": "Prometheus metrics",
    "/v1/models": "The models that are served",
}  # fmt: skip


def plain(path: str, what: str) -> Schema:
    """A route without a body."""
    media = "text/plain" if path == "/metrics" else JSON
    responses = {"200": {"description": what, "content": {media: {"schema": {"type": "string" if path == "/metrics" else "object"}}}}}
    return {"summary": what, "operationId": path.strip("/").replace("/", "_"), "responses": responses | refusals("401", "421", "503")}


def predicting(hosted: Hosted, limits: Limits) -> Schema:
    """The route of one model."""
    opened, row = hosted.opened, row_of(hosted, limits)
    one = {"type": "object", "properties": {"row": row, "deadline_ms": DEADLINE}, "required": ["row"], "additionalProperties": False}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": limits.rows}
    many = {"type": "object", "properties": {"rows": rows, "deadline_ms": DEADLINE}, "required": ["rows"], "additionalProperties": False}
    content: Schema = {JSON: {"schema": {"oneOf": [one, many]}}}
    if opened.examples:
        content[JSON]["examples"] = {"one row": {"value": {"row": golden.to_json(opened.examples[0]["input"])}}}
    if "image" in hosted.inputs.values() or "audio" in hosted.inputs.values():
        fields = {
            name: {"type": "string", "format": "binary"} if kind in ("image", "audio") else {"type": "string"}
            for name, kind in hosted.inputs.items()
        }
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": fields, "required": list(hosted.inputs)}}
    return {
        "summary": f"Answers of {hosted.name} ({opened.model.description['task']})",
        "operationId": f"predict_{hosted.name}",
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answer_of(hosted), **refusals(*(code for code in PROBLEMS if code != "403"))},
    }


def explaining(hosted: Hosted, limits: Limits) -> Schema:
    """As predicting, but what comes back is what the answer hangs on; of a label, where one is named."""
    route = predicting(hosted, limits)
    for schema in route["requestBody"]["content"][JSON]["schema"]["oneOf"]:
        schema["properties"] = schema["properties"] | {"label": {"type": "string"}}
    facts = {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "explanation": EXPLANATION,
        "explanations": {"type": "array", "items": EXPLANATION},
    }
    content = {JSON: {"schema": {"type": "object", "properties": facts, "required": ["model", "version"]}}}
    answered = {"200": {"description": "What each answer hangs on, in order", "content": content}}
    summary = f"What answers of {hosted.name} hang on"
    return route | {"operationId": f"explain_{hosted.name}", "summary": summary, "responses": route["responses"] | answered}


def row_of(hosted: Hosted, limits: Limits) -> Schema:
    """A row: every column of the signature must be there, null where it is missing; others are not looked at."""
    specs = (hosted.opened.model.task.state or {}).get("inputs", {})
    cells = {name: cell(kind, specs.get(name, {}), limits) for name, kind in hosted.inputs.items()}
    return {"type": "object", "properties": cells, "required": [name for name in cells if name not in hosted.opened.optional]}


def cell(kind: str, spec: Any, limits: Limits) -> Schema:
    """What a cell of this kind may be."""
    if kind == "number":
        return {"type": ["number", "null"], "description": "a number"}
    if kind == "category":
        names = spec.get("names", []) if isinstance(spec, dict) else []
        known = {"examples": names[:3], "x-known": names} if 0 < len(names) <= MOST_NAMES else {}
        return {
            "type": ["string", "number", "boolean", "null"],
            "description": "a name; one never seen in training is taken as such",
        } | known
    if kind == "id":
        one = {"type": ["string", "number"]}
        return {"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}], "description": "an id, or a list of ids"}
    if kind == "date":
        return {"type": ["string", "null"], "description": "a date as in the training data"}
    if kind == "tags":
        return {"type": ["array", "string", "null"], "items": {"type": "string"}}
    if kind == "series":
        step = {"type": "array", "items": {"type": "number"}}
        return {"type": "array", "items": {"anyOf": [{"type": "number"}, step]}, "minItems": 1}
    if kind in ("image", "audio"):
        data = {"base64": {"type": "string", "contentEncoding": "base64"}}
        return {"type": "object", "properties": data, "required": ["base64"], "additionalProperties": False}
    if kind == "text":
        return {"type": ["string", "null"], "maxLength": limits.characters}
    return {}


def answer_of(hosted: Hosted) -> Schema:
    """What comes back, with an answer that the bundle holds."""
    facts = {"model": {"type": "string"}, "version": {"type": "string"}, "answer": {}, "answers": {"type": "array"}}
    content: Schema = {"schema": {"type": "object", "properties": facts, "required": ["model", "version"]}}
    if hosted.opened.examples:
        content["example"] = {"model": hosted.name, "version": hosted.opened.version, "answer": hosted.opened.examples[0]["answer"]}
    return {"description": "One answer a row, in order", "content": {JSON: content}}


def refusals(*codes: str) -> Schema:
    """The same body for each."""
    body = {JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": PROBLEMS[code], "content": body} for code in codes}


EXPLANATION: Schema = {
    "type": "object",
    "properties": {
        "method": {"type": "string"}, "answer": {"type": "object"}, "label": {"type": "string"}, "value": {"type": "number"},
        "columns": {"type": "array", "items": {"type": "object"}}, "parts": {"type": "object"},
    },
}  # fmt: skip
DEADLINE: Schema = {"type": "number", "exclusiveMinimum": 0, "description": "Milliseconds within which an answer is of use"}
PROBLEM: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "request_id"],
            "properties": {
                "message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": "string"},
                "request_id": {"type": "string"}, "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}  # fmt: skip
