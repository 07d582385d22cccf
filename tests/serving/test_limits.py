"""What is not such as the service takes is told so, with a code, and nothing of it comes back."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from running import ANYWHERE, Running, running

from luban.serving import guard
from luban.serving.app import Service
from luban.serving.settings import Limits

CANARY = "kanarienvogel-7431"
JSON = {"Content-Type": "application/json"}


def png(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "L604"),
    (b"{", 400, "L604"),
    (b"\xff\xfe{}", 400, "L604"),
    (b"nul", 400, "L604"),
    (b'{"row": {"x": NaN}}', 422, "L605"),
    (b'{"row": {"x": Infinity}}', 422, "L605"),
    (b'{"row": {"x": 1e999}}', 422, "L605"),
    (b'{"row": {"x": -1e999}}', 422, "L605"),
    (b'{"row": {"x": ' + b"9" * 5000 + b"}}", 422, "L605"),
    (b'{"row": {"x": ' + b"9" * 400 + b"}}", 422, "L605"),
    (b'{"row": {"x": 1, "x": 2}}', 422, "L605"),
    (b'{"row": ' + b"[" * 40 + b"]" * 40 + b"}", 422, "L605"),
    (b"[" * 100_000, 422, "L605"),
    (b"[]", 422, "L605"),
    (b"null", 422, "L605"),
    (b"{}", 422, "L605"),
    (b'{"row": {"x": 1}, "rows": []}', 422, "L605"),
    (b'{"rows": []}', 422, "L605"),
    (b'{"rows": {"x": 1}}', 422, "L605"),
    (b'{"rows": [1, null, "a"]}', 422, "L605"),
    (b'{"rows": [{"x": 1}], "path": "/etc/passwd"}', 422, "L605"),
    (b'{"row": {}}', 422, "L605"),
    (b'{"row": {"x": {"base64": ""}}}', 422, "L605"),
    (b'{"row": {"x": [1]}}', 422, "L605"),
    (b'{"row": {"x": "kanarienvogel-7431"}}', 422, "L605"),
    (b'{"row": {"x": "\\ud800"}}', 422, "L605"),
    (b'{"row": {"x": 1}, "deadline_ms": "soon"}', 422, "L605"),
    (b'{"row": {"x": 1}, "deadline_ms": -1}', 422, "L605"),
    (b'{"rows": [' + b",".join([b'{"x": 1}'] * 51) + b"]}", 422, "L605"),
    (b'{"row": {"x": 1}}' + b" " * 300_000, 413, "L606"),
]


@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=range(len(BODIES)))
def test_bodies(body: bytes, status: int, code: str, served: Running) -> None:
    answer = served.post("/v1/predict/number", body, **JSON)
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]
    assert CANARY.encode() not in answer.body


CELLS: list[tuple[str, Any]] = [
    ("picture", {"i": "/etc/passwd"}),
    ("picture", {"i": "http://127.0.0.1/x.png"}),
    ("picture", {"i": {"path": "/etc/passwd"}}),
    ("picture", {"i": {"bytes": "aGk="}}),
    ("picture", {"i": {"base64": "/etc/passwd!"}}),
    ("picture", {"i": {"base64": "aGVsbG8="}}),
    ("picture", {"i": {"base64": png(200, 200)}}),
    ("picture", {"i": None}),
    ("picture", {"i": 7}),
    ("series", {"s": "/etc/passwd"}),
    ("series", {"s": [[1, 2], [3]]}),
    ("series", {"s": [[1, 2, 3, 4, 5, 6, 7]]}),
    ("series", {"s": [None]}),
    ("series", {"s": []}),
    ("series", {"s": [True]}),
    ("mixed", {"t": "a" * 5001, "x": 1, "c": None, "d": None, "g": None}),
    ("mixed", {"t": 5, "x": 1, "c": None, "d": None, "g": None}),
    ("mixed", {"t": "a", "x": 1, "c": [1], "d": None, "g": None}),
    ("mixed", {"t": "a", "x": 1, "c": None, "d": "kanarienvogel-7431", "g": None}),
    ("mixed", {"t": "a", "x": 1, "c": None, "d": None, "g": [1]}),
    ("mixed", {"t": "a", "x": 1, "c": 10**30, "d": None, "g": None}),
]


@pytest.mark.parametrize(("model", "row"), CELLS, ids=range(len(CELLS)))
def test_cells(model: str, row: dict[str, Any], served: Running) -> None:
    answer = served.post(f"/v1/predict/{model}", {"row": row})
    assert (answer.status, answer.code) == (422, "L605")
    assert answer.json["error"]["details"][0]["row"] == 0
    assert CANARY.encode() not in answer.body
    assert b"passwd" not in answer.body


def test_a_wrong_row_names_its_place_and_spoils_nobody_elses(served: Running) -> None:
    answer = served.post("/v1/predict/number", {"rows": [{"x": 1}, {"x": "no number"}, {"x": 3}]})
    assert [(detail["row"], detail["column"]) for detail in answer.json["error"]["details"]] == [(1, "x")]
    assert served.post("/v1/predict/number", {"rows": [{"x": 1}, {"x": 3}]}).status == 200


def test_types_of_body(served: Running) -> None:
    row = json.dumps({"row": {"x": 1}}).encode()
    assert served.post("/v1/predict/number", row, **{"Content-Type": "text/plain"}).code == "L609"
    assert served.post("/v1/predict/number", row, **{"Content-Type": "application/json", "Content-Encoding": "gzip"}).code == "L609"
    assert served.post("/v1/predict/number", row, **{"Content-Type": "application/json; charset=utf-8"}).status == 200


FORMS = [
    (b"--b\r\n\r\nx\r\n--b--\r\n", b"multipart/form-data; boundary=b"),
    (b"--b", b"multipart/form-data; boundary=b"),
    (b"", b"multipart/form-data; boundary=b"),
    (b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--", b"multipart/form-data; boundary=b"),
    (b"x", b"multipart/form-data"),
    (b"--b\r\n" * 400, b"multipart/form-data; boundary=b"),
    (b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\xff\r\n--b--', b"multipart/form-data; boundary=b"),
]


@pytest.mark.parametrize(("body", "kind"), FORMS, ids=range(len(FORMS)))
def test_forms(body: bytes, kind: bytes, served: Running) -> None:
    assert served.post("/v1/predict/number", body, **{"Content-Type": kind.decode()}).code == "L604"


def test_a_form_may_name_a_field_once(served: Running) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1.5\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert served.post("/v1/predict/number", part + b"--b--", **kind).status == 200
    assert served.post("/v1/predict/number", part * 2 + b"--b--", **kind).code == "L605"


RAW = [
    (b"GET / HTTP/9.9\r\n\r\n", b"4"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, b"400"),
    (b"GET /health/live HTTP/1.1\r\n\r\n", b"400"),  # without Host
    (b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
    (b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
    (b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:80:80\r\n\r\n", b"421"),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
    (b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    (b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"4"),
    (b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    (b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"fff\r\n" + b"a" * 4095 + b"\r\n") * 100, b"413"),
    (b"CONNECT evil:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"4"),
    (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    (b"GET /page/../app.py HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"GET /page/..%2fapp.py HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    (b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), RAW, ids=range(len(RAW)))
def test_what_is_hardly_http(data: bytes, status: bytes, served: Running) -> None:
    answer = served.raw(data + (b"" if data.endswith(b"\r\n") else b"\r\n\r\n"))
    assert answer.split(b" ", 2)[1].startswith(status), answer[:200]
    assert b"Traceback" not in answer
    assert served.get("/health/live").status == 200


@pytest.mark.parametrize("part", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "], ids=["silent", "line", "head"])
def test_a_slow_head_is_let_go(part: bytes, served: Running) -> None:
    begun = time.monotonic()
    answer = served.raw(part, timeout=8)
    assert b" 408 " in answer[:20]
    assert b'"L608"' in answer
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize("part", [b"", b"{"], ids=["nothing", "some"])
def test_a_slow_body_is_let_go(part: bytes, served: Running) -> None:
    head = b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    assert b" 408 " in served.raw(head + part, timeout=8)[:20]


def test_many_slow_clients_keep_nobody_waiting(served: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(200)]
    try:
        for byte in b"GET":
            for connection in slow:
                connection.send(bytes([byte]))
            assert served.post("/v1/predict/number", {"row": {"x": 1}}).status == 200
    finally:
        for connection in slow:
            connection.close()


def test_connections_are_counted(shelf: dict[str, Path]) -> None:
    with running(Service([("number", shelf["number"])], limits=Limits(connections=3), place=ANYWHERE)) as found:
        held = [socket.create_connection(("127.0.0.1", found.port)) for _ in range(3)]
        try:
            time.sleep(0.2)
            answer = found.raw(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b'"L620"' in answer
        finally:
            for connection in held:
                connection.close()
        time.sleep(0.2)
        assert found.get("/health/live").status == 200


def test_an_error_of_ours_says_its_number_only(
    shelf: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service([("number", shelf["number"])], place=ANYWHERE)

    def broken(*_: Any) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(service.shelf.find("number").opened.model.task, "encode", broken)
    with running(service) as found:
        answer = found.post("/v1/predict/number", {"row": {"x": 1}})
        assert (answer.status, answer.code) == (500, "L619")
        assert CANARY.encode() not in answer.body
        assert answer.headers["x-request-id"] in caplog.text
        assert CANARY not in caplog.text
        assert found.get("/health/ready").status == 200


def test_a_refusal_is_held_back_and_who_is_accepted_does_not_wait_for_it(shelf: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REST_S", 0.4)
    with running(Service([("number", shelf["number"])], limits=Limits(waiting=1), place=ANYWHERE)) as found:
        batcher = found.service.shelf.find("number").batcher
        batcher.requests = 1
        connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=10)
        for _ in range(2):
            begun = time.monotonic()
            connection.request("POST", "/v1/predict/number", b'{"row": {"x": 1}}', JSON)
            answer = connection.getresponse()
            assert answer.status == 429
            assert json.loads(answer.read())["error"]["code"] == "L612"
            assert time.monotonic() - begun >= 0.4
        batcher.requests = 0
        monkeypatch.setattr(guard, "REST_S", 60)
        connection.request("POST", "/v1/predict/number", b'{"row": {"x": 1}}', JSON)
        assert connection.getresponse().status == 200  # on the very connection that was refused before, at once
        assert found.get("/health/live").status == 200
        assert found.service.guard.resting == 0
        connection.close()
