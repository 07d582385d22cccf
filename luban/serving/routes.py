"""The service's own routes: health, models, predict, explain, metrics."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import Response

from luban.bundle import golden
from luban.bundle.occlusion import can_explain
from luban.capabilities import Streams
from luban.errors import DataError
from luban.messages import said
from luban.serving import body, multipart, problems
from luban.serving.body import header
from luban.serving.hosted import Hosted, Opened
from luban.serving.rows import hold

MOST_EXPLAINED = 16  # rows of a request: each is answered a hundred times and more
MOST_EXPLAINING = 4  # requests of a model at once
KNOWN = {"row", "rows", "deadline_ms", "label"}


def to_response(value: Any, status: int = 200) -> Response:
    """JSON that holds no NaN."""
    return Response(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), status, media_type="application/json")


async def live(request: Request) -> Response:
    """The process runs."""
    return to_response({"status": "live"})


async def ready(request: Request) -> Response:
    """200 where requests are wanted, 503 from the moment the service is told to stop."""
    service = request.app.state.service
    if service.guard.draining:
        raise problems.leaving()
    return to_response({"status": "ready", "models": list(service.shelf.models)})


async def metrics(request: Request) -> Response:
    """Prometheus."""
    request.scope["luban"].route = "/metrics"
    text = await asyncio.get_running_loop().run_in_executor(None, request.app.state.service.gauges.text)
    return Response(text, media_type="text/plain; version=0.0.4")


async def models(request: Request) -> Response:
    """What is served, as clients of language models list it, and more."""
    request.scope["luban"].route = "/v1/models"
    shelf = request.app.state.service.shelf
    return to_response({"object": "list", "data": [brief(hosted) for hosted in shelf.models.values()]})


def brief(hosted: Hosted) -> dict[str, Any]:
    """One line about a model."""
    opened = hosted.opened
    return {
        "id": hosted.name, "object": "model", "created": 0, "owned_by": "luban", "version": opened.version,
        "task": opened.model.description["task"], "signature": opened.signature, "labels": opened.model.description["labels"],
        "can": capabilities(hosted),
    }  # fmt: skip


def capabilities(hosted: Hosted) -> list[str]:
    """What can be asked of it."""
    model = hosted.opened.model
    answers = [line["answer"] for line in hosted.opened.examples[:1]]
    out = ["predict"] + (["explain"] if hasattr(model, "explain") and any(map(can_explain, answers)) else [])
    return (
        out
        + (["generate"] if isinstance(model.task, Streams) else [])
        + (["embed"] if any("embedding" in line["answer"] for line in hosted.opened.examples) else [])
    )


async def model(request: Request) -> Response:
    """One model: signature, card, report, an example."""
    hosted = found(request, "/v1/models/{name}")
    opened = hosted.opened
    details = {"card": opened.card, "report": opened.model.report, "examples": opened.examples[:3]}
    return to_response(brief(hosted) | golden.to_json(details))


def found(request: Request, route: str) -> Hosted:
    """The model a request names. Raises RequestError L602."""
    call = request.scope["luban"]
    call.route = route
    hosted = request.app.state.service.shelf.find(request.path_params["name"])
    call.model = hosted.name
    return hosted


async def predict(request: Request) -> Response:
    """Answers, one for each row."""
    hosted = found(request, "/v1/predict")
    asked, within_s = await asked_of(request, hosted)
    if asked["label"]:
        raise problems.unsupported("label")
    answers = await hosted.batcher.submit(asked["rows"], within_s, request.receive)
    facts = {"model": hosted.name, "version": hosted.opened.version}
    if asked["one"]:
        return to_response(facts | {"answer": answers[0] if len(answers) == 1 else answers})
    return to_response(facts | {"answers": answers})


async def asked_of(request: Request, hosted: Hosted) -> tuple[dict[str, Any], float]:
    """The rows of a request, whether it was one, and the seconds it gives. Raises RequestError."""
    service, headers = request.app.state.service, request.scope["headers"]
    content_type = header(headers, b"content-type")
    data = await body.read(headers, request.receive, service.limits)
    if content_type.startswith(b"multipart/form-data"):
        return {
            "rows": hold([multipart.fields(data, content_type)], hosted.inputs, service.limits, hosted.opened.optional),
            "one": True,
            "label": "",
        }, service.limits.answer_s
    if content_type.split(b";")[0].strip().lower() != b"application/json":
        raise problems.wrong_type()
    value = await body.parsed(data, service.limits)
    if not isinstance(value, dict) or not set(value) <= KNOWN or ("row" in value) == ("rows" in value):
        raise problems.invalid(said('the body is {{"row": {{…}}}} or {{"rows": [{{…}}, …]}}, with deadline_ms if you like'))
    given = [value["row"]] if "row" in value else value["rows"]
    if not isinstance(given, list):
        raise problems.invalid(said("`rows` is a list"), param="rows")
    label = value.get("label", "")
    if not isinstance(label, str):
        raise problems.invalid(said("a text is wanted"), param="label")
    rows = hold(given, hosted.inputs, service.limits, hosted.opened.optional)
    return {"rows": rows, "one": "row" in value, "label": label}, seconds(value.get("deadline_ms"), service.limits.answer_s)


def seconds(asked: Any, most: float) -> float:
    """What a request gives, which can only be less than what the service gives. Raises RequestError L605."""
    if asked is None:
        return most
    if isinstance(asked, bool) or not isinstance(asked, int | float) or asked <= 0:
        raise problems.invalid(said("`deadline_ms` is a number above 0"), param="deadline_ms")
    return min(most, asked / 1000)


async def explain(request: Request) -> Response:
    """Why the model answers so, where it can say."""
    hosted = found(request, "/v1/explain")
    if "explain" not in capabilities(hosted):
        raise problems.unable(said("this model cannot explain its answers"))
    if hosted.explaining >= MOST_EXPLAINING:
        raise problems.overloaded(1)
    hosted.explaining += 1
    try:
        asked, _ = await asked_of(request, hosted)
        if asked["rows"].count > MOST_EXPLAINED:
            raise problems.invalid(said("there must be between 1 and {most} rows", most=MOST_EXPLAINED))
        opened = hosted.opened
        working = partial(reasons, opened, asked["rows"].table(), asked["label"])
        explanations = await asyncio.get_running_loop().run_in_executor(None, working)
    finally:
        hosted.explaining -= 1
    facts = {"model": hosted.name, "version": opened.version}
    if asked["one"]:
        return to_response(facts | {"explanation": explanations[0]})
    return to_response(facts | {"explanations": explanations})


def reasons(opened: Opened, table: pl.DataFrame, label: str) -> Any:
    """As JSON has them. Raises RequestError L605 for a row that cannot be read, or a label that is none."""
    try:
        explanations = opened.model.explain(table, label=label)
    except DataError as error:
        if error.code == "L283":
            raise problems.invalid(said("the model knows no such label"), param="label") from error
        raise problems.unanswerable(error) from error
    wrong = [place for place, one in enumerate(explanations) if "error" in one]
    if wrong:
        details = [{"row": place, "what": said("the cell cannot be read as its kind")} for place in wrong]
        raise problems.invalid(said("some cells are not such as the model reads"), details)
    return golden.to_json(explanations)


ROUTES = (
    ("/health/live", "GET", live),
    ("/health/ready", "GET", ready),
    ("/metrics", "GET", metrics),
    ("/v1/models", "GET", models),
    ("/v1/models/{name}", "GET", model),
    ("/v1/predict/{name}", "POST", predict),
    ("/v1/explain/{name}", "POST", explain),
)
