"""HTTP/1.1 on the wire: requests behind each other, what comes behind them, and what a parser would hold without end."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from running import Running

from luban.serving.protocol import Gathered

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def asked(x: float) -> bytes:
    """A request for an answer."""
    body = json.dumps({"row": {"x": x}}).encode()
    return b"POST /v1/predict/number HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def statuses(answer: bytes) -> list[bytes]:
    """Of each answer on a connection."""
    return [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_requests_behind_each_other_are_answered_in_their_order(served: Running) -> None:
    last = LIVE.replace(b"live", b"none").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert statuses(served.raw(asked(1) + LIVE + asked(2) + last)) == [b"200", b"200", b"200", b"404"]


def test_nonsense_behind_a_request_does_not_take_its_answer(served: Running) -> None:
    answer = served.raw(asked(1) + b"\x00\x01nonsense\r\n\r\n")
    assert statuses(answer) == [b"200"]


def test_a_body_may_come_in_pieces(served: Running) -> None:
    pieces = [b'{"row": ', b'{"x": 1}', b"}"]
    body = b"".join(b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    assert (
        statuses(served.raw(CHUNKED + body + b"0\r\nX-Trailer: a\r\n\r\n" + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
        == [b"200"] * 2
    )


@pytest.mark.parametrize(
    "endless",
    [b"2;" + b"a" * 60_000, b"2\r\n{}\r\n0\r\nX-Trailer: " + b"a" * 60_000, b"2\r\n{}\r\n0\r\n" + b"X: a\r\n" * 10_000],
    ids=["extension", "trailer", "trailers"],
)
def test_what_frames_a_body_is_bounded_too(endless: bytes, served: Running) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        connection.sendall(CHUNKED)
        time.sleep(0.1)
        connection.sendall(endless[:20_000])
        time.sleep(0.1)
        connection.sendall(endless[20_000:])
        assert connection.recv(100)[9:12] == b"431"
    assert served.get("/health/live").status == 200


def test_a_body_that_ends_in_nonsense_after_its_answer_gets_no_second_one(served: Running) -> None:
    head = CHUNKED.replace(b"/v1/predict/number", b"/v1/models/number/none")
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(65_536)[9:12] == b"404"
        connection.sendall(b"zz\r\n\r\n")
        assert connection.recv(65_536) == b""


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_who_would_rather_speak_another_protocol_is_answered_in_this_one(pieces: int, served: Running) -> None:
    """As curl --http2 and Java's client ask, with a body; what comes behind it is the next request and nothing else."""
    last = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    head, body = asked(1).replace(b"\r\n\r\n", b"\r\n" + UPGRADE, 1).split(b"\r\n\r\n", 1)
    parts = {
        1: [head + b"\r\n\r\n" + body + last],
        2: [head + b"\r\n\r\n", body + last],
        3: [head[:40], head[40:] + b"\r\n\r\n" + body[:5], body[5:] + last],
    }
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        for part in parts[pieces]:
            connection.sendall(part)
            time.sleep(0.05)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert statuses(answer) == [b"200", b"200"]
    assert b'"answer"' in answer


def test_a_broken_body_behind_a_request_takes_nothing_from_its_answer(served: Running) -> None:
    answer = served.raw(asked(1) + CHUNKED + b"zz\r\n\r\n")
    assert statuses(answer) == [b"200"]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["answer"]


def test_what_stands_behind_a_body_is_no_head(served: Running) -> None:
    """A trailer names no other host, and no key."""
    body = b'9\r\n{"row": {\r\n8\r\n"x": 1}}\r\n0\r\nHost: evil.example\r\nContent-Type: text/plain\r\n\r\n'
    assert statuses(served.raw(CHUNKED + body + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [b"200", b"200"]


def test_who_sends_a_body_after_its_answer_is_let_go_when_idle(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.server.config, "timeout_keep_alive", 0.3)
    head = asked(1).replace(b"/v1/predict/number", b"/v1/models/number/none")
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
        connection.sendall(head[:-10])
        time.sleep(0.1)
        assert connection.recv(65_536)[9:12] == b"404"
        connection.sendall(head[-10:])
        assert connection.recv(65_536) == b""  # closed, where nothing more comes


class Wire:
    """What a transport was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.told.append(data)

    def close(self) -> None:
        """Keep that too."""
        self.told.append("closed")

    def is_closing(self) -> bool:
        """As a transport says."""
        return "closed" in self.told


def test_head_and_body_go_together_and_before_the_end() -> None:
    async def talk() -> list[object]:
        wire = Wire()
        gathered = Gathered(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        gathered.write(b"head ")
        gathered.write(b"body")
        await asyncio.sleep(0)
        gathered.write(b"more ")
        gathered.write(b"x" * 70_000)
        gathered.write(b"last")
        gathered.close()
        await asyncio.sleep(0)
        return wire.told

    assert asyncio.run(talk()) == [b"head body", b"more " + b"x" * 70_000, b"last", "closed"]
