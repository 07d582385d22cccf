"""Thousands of requests that nobody should send: no 5xx, nothing comes back of what they said, and others are answered meanwhile."""

from __future__ import annotations

import json
import random
import socket
from typing import Any

import bundles
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import Running
from test_routes import rows_of

CANARY = "kanarienvogel-7431"
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**40), 10**40), st.floats(allow_nan=True), st.text(max_size=20),
    st.sampled_from([CANARY, "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "2024-02-30", "1e999", "\ud800", "data:image/png;base64,AAAA"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["base64", "path", "bytes", "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)  # fmt: skip


def check(status: int, body: bytes, sent: Any) -> None:
    assert status in (200, 400, 404, 405, 408, 413, 415, 421, 422, 429, 431), (status, body[:300], sent)
    assert CANARY.encode() not in body
    assert b"Traceback" not in body
    if status != 200 and body:
        assert json.loads(body)["error"]["code"].startswith("L6")


@pytest.mark.parametrize("base", bundles.BASES)
def test_any_cells(base: str, served: Running) -> None:
    good = rows_of(base, 1)[0]

    @RELAXED
    @given(st.fixed_dictionaries(dict.fromkeys(good, VALUES)))
    def ask(row: dict[str, Any]) -> None:
        body = json.dumps({"rows": [good, row]}).encode()
        answer = served.post(f"/v1/predict/{base}", body, **{"Content-Type": "application/json"})
        check(answer.status, answer.body, row)

    ask()


def test_any_json(served: Running) -> None:
    @RELAXED
    @given(st.one_of(VALUES, st.dictionaries(st.sampled_from(["row", "rows", "deadline_ms", "x"]), VALUES)))
    def ask(value: Any) -> None:
        answer = served.post("/v1/predict/number", json.dumps(value).encode(), **{"Content-Type": "application/json"})
        check(answer.status, answer.body, value)

    ask()


def mangled(rng: random.Random) -> bytes:
    """A good request, and some harm done to it."""
    body = rng.choice([b'{"row": {"x": 1}}', b'{"row": {"x": "kanarienvogel-7431"}}', b"--b\r\n", b"", bytes(rng.randbytes(40))])
    target = rng.choice(
        [
            "/v1/predict/number",
            "/v1/models",
            "/v1/models/kanarienvogel-7431",
            "/",
            "/metrics",
            "/page/kanarienvogel-7431",
            "/v1/chat/completions",
        ]
    )
    head = [
        f"{rng.choice(['GET', 'POST', 'POST', 'PUT', 'kanarienvogel-7431'])} {target} HTTP/1.1",
        f"Host: {rng.choice(['localhost', '127.0.0.1', 'kanarienvogel-7431'])}",
        f"Content-Type: {rng.choice(['application/json', 'multipart/form-data; boundary=b', 'x'])}",
        f"Content-Length: {rng.choice([len(body)] * 5 + [0, 7, 10**12, -1])}",
        rng.choice(["X-A: b", "Connection: close", "Expect: 100-continue", "Origin: null", "Upgrade: websocket\r\nConnection: upgrade", "Transfer-Encoding: chunked"]),
    ]  # fmt: skip
    data = bytearray("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    for _ in range(rng.choice([0, 0, 1, 3, 20])):
        place = rng.randrange(len(data))
        change = rng.randrange(4)
        if change == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[place : place + rng.randrange(1, 9)]
        elif change == 2:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            data[place:place] = data[: rng.randrange(1, 40)]
        if not data:
            return b"\0"
    return bytes(data)


def fuzz(served: Running, count: int, seed: int) -> dict[str, int]:
    """Send them; how often which status came back."""
    rng, seen = random.Random(seed), {}
    for number in range(count):
        data = mangled(rng)
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while chunk := connection.recv(65_536):
                    answer += chunk
            except ConnectionError:
                pass
        status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.1 ") else "none"
        seen[status] = seen.get(status, 0) + 1
        assert not status.startswith("5"), (data, answer[:500])
        assert CANARY.encode() not in answer, (data, answer[:500])
        assert b"Traceback" not in answer
        if number % 100 == 0:
            assert served.post("/v1/predict/number", {"row": {"x": 1}}).status == 200
    return seen


def test_mangled_requests(served: Running) -> None:
    seen = fuzz(served, 400, 7)
    assert {"400", "404", "405", "421", "200"} <= set(seen), seen


@pytest.mark.slow
def test_ten_thousand_mangled_requests(served: Running, record_property: Any) -> None:
    seen = fuzz(served, 10_000, 11)
    record_property("requests", 10_000)
    assert sum(seen.values()) == 10_000
