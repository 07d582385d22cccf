"""Health, models, predict: what is answered is what the bundle answers."""

from __future__ import annotations

import base64
import datetime
import io
import json
import socket
from pathlib import Path
from typing import Any

import bundles
import pytest
from PIL import Image
from running import Running

import luban
from luban.catalog import load


def rows_of(base: str, count: int = 7) -> list[dict[str, Any]]:
    """Raw rows, as JSON has them."""
    columns = {name: load("kinds", bundles.COLUMNS[name]).demo(count, 3).to_list() for name in bundles.BASES[base]["inputs"]}
    return [{name: jsonable(cells[i]) for name, cells in columns.items()} for i in range(count)]


def jsonable(cell: Any) -> Any:
    """Bytes in base64, dates as text."""
    if isinstance(cell, bytes):
        return {"base64": base64.b64encode(cell).decode()}
    return cell.isoformat() if isinstance(cell, datetime.date) else cell


def as_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `model.predict` takes them."""
    return [{name: base64.b64decode(cell["base64"]) if isinstance(cell, dict) else cell for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize("base", bundles.BASES)
def test_answers_are_the_bundles(base: str, served: Running, shelf: dict[str, Path]) -> None:
    rows = rows_of(base)
    answers = served.post(f"/v1/predict/{base}", {"rows": rows}).json["answers"]
    wanted = luban.load(shelf[base]).predict(as_rows(rows))
    assert answers == [pytest.approx(answer, abs=1e-6) if "number" in answer else near(answer) for answer in wanted]
    assert served.post(f"/v1/predict/{base}", {"row": rows[2]}).json["answer"] == near(wanted[2])


def near(answer: dict[str, Any]) -> dict[str, Any]:
    """Equal but for the last bits."""
    return {key: pytest.approx(value, abs=2e-6) if isinstance(value, dict | float) else value for key, value in answer.items()}


def test_a_picture_comes_as_a_form(served: Running) -> None:
    buffer = io.BytesIO()
    Image.new("L", (11, 13), 200).save(buffer, "PNG")
    body = b'--b1\r\nContent-Disposition: form-data; name="i"; filename="/etc/passwd"\r\nContent-Type: image/png\r\n\r\n'
    body += buffer.getvalue() + b"\r\n--b1--\r\n"
    answer = served.post("/v1/predict/picture", body, **{"Content-Type": "multipart/form-data; boundary=b1"})
    assert answer.status == 200
    coded = {"i": {"base64": base64.b64encode(buffer.getvalue()).decode()}}
    assert answer.json["answer"] == served.post("/v1/predict/picture", {"row": coded}).json["answer"]


def test_health_and_models(served: Running) -> None:
    assert served.get("/health/live").json == {"status": "live"}
    assert served.get("/health/ready").json["models"] == list(bundles.BASES)
    listed = served.get("/v1/models").json["data"]
    assert [model["id"] for model in listed] == list(bundles.BASES)
    one = served.get("/v1/models/mixed").json
    assert one["signature"]["inputs"] == bundles.BASES["mixed"]["inputs"]
    assert "## Inputs" in one["card"]
    assert one["version"] == listed[0]["version"]
    assert one["examples"][0]["answer"]["label"] in ("yes", "no")


def test_what_a_model_cannot_do_has_a_code(served: Running) -> None:
    unknown = served.post("/v1/predict/nothing", {"row": {}})
    assert (unknown.status, unknown.code) == (404, "L602")
    assert served.get("/v1/predict/number").code == "L603"
    assert served.get("/v2").code == "L601"
    assert served.post("/v1/predict/number", {"row": {"x": 1}, "label": "x"}).code == "L618"


@pytest.mark.parametrize("base", bundles.BASES)
def test_explanations_are_the_bundles(base: str, served: Running, shelf: dict[str, Path]) -> None:
    row = rows_of(base)[1]
    found = served.post(f"/v1/explain/{base}", {"row": row}).json["explanation"]
    (wanted,) = luban.load(shelf[base]).explain(as_rows([row]))
    assert found["value"] == pytest.approx(wanted["value"], abs=2e-6)
    effects = {part["column"]: pytest.approx(part["effect"], abs=4e-6) for part in wanted["columns"]}
    assert {part["column"]: part["effect"] for part in found["columns"]} == effects
    assert {name: len(parts) for name, parts in found["parts"].items()} == {name: len(parts) for name, parts in wanted["parts"].items()}


def test_what_is_asked_of_explanations_is_held(served: Running, shelf: dict[str, Path]) -> None:
    row = rows_of("mixed")[1]
    both = [served.post("/v1/explain/mixed", {"rows": [row], "label": label}).json["explanations"][0] for label in ("yes", "no")]
    assert [one["label"] for one in both] == ["yes", "no"]
    assert both[0]["value"] + both[1]["value"] == pytest.approx(1, abs=2e-6)
    for asked, param in (({"rows": [row] * 17}, None), ({"row": row, "label": "secret"}, "label"), ({"row": row, "label": 3}, "label")):
        answer = served.post("/v1/explain/mixed", asked)
        assert (answer.code, answer.json["error"]["param"]) == ("L605", param)
        assert b"secret" not in answer.body
    wrong = served.post("/v1/explain/mixed", {"row": row | {"d": "never"}})
    assert (wrong.status, wrong.json["error"]["details"][0]["row"]) == (422, 0)
    hosted = served.service.shelf.find("mixed")
    hosted.explaining = 4
    assert (served.post("/v1/explain/mixed", {"row": row}).code, hosted.explaining) == ("L612", 4)
    hosted.explaining = 0
    assert "explain" in served.get("/v1/models").json["data"][0]["can"]
    assert "label" in json.dumps(served.get("/openapi.json").json["paths"]["/v1/explain/mixed"])


def test_refusals_speak_the_readers_language(served: Running) -> None:
    chinese = served.get("/nowhere", **{"Accept-Language": "zh-CN,zh;q=0.9"}).json["error"]["message"]
    assert chinese == "这个地址没有内容"


def test_metrics_count(served: Running) -> None:
    def rows() -> float:
        lines = served.get("/metrics").body.decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith('luban_rows_total{model="number"}'))

    before = rows()
    served.post("/v1/predict/number", {"rows": [{"x": 1}, {"x": 2}, {"x": None}]})
    assert rows() - before == 3


def test_the_examples_of_the_document_are_answered(served: Running) -> None:
    document = served.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for base in bundles.BASES:
        route = document["paths"][f"/v1/predict/{base}"]["post"]
        content = route["requestBody"]["content"]["application/json"]
        row = content["schema"]["oneOf"][0]["properties"]["row"]
        assert row["required"] == list(bundles.BASES[base]["inputs"])
        example = content["examples"]["one row"]["value"]
        kept = route["responses"]["200"]["content"]["application/json"]["example"]["answer"]
        assert served.post(f"/v1/predict/{base}", json.loads(json.dumps(example))).json["answer"] == near(kept)


def test_small_answers_are_not_held_back(served: Running) -> None:
    """Head and body go out as two small packets: with Nagle's algorithm the second one waits for the client's acknowledgement, 40 ms on Linux."""
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        own = [
            connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for connection in list(served.server.server_state.connections)
        ]
    assert own
    assert all(own)
