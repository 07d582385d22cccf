"""A service on a free port, in a thread of this process; and a client of the standard library."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from luban.serving.app import Service
from luban.serving.server import Server, listen
from luban.serving.settings import Place

ANYWHERE = Place(port=0)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """As a value."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return self.json["error"]["code"]


@dataclass(frozen=True)
class Running:
    """A service that listens."""

    service: Service
    server: Server
    port: int

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own; a value goes as JSON."""
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body, ensure_ascii=False).encode()
        kinds = {} if isinstance(body, bytes | type(None)) else {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, data, kinds | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """One POST."""
        return self.ask("POST", path, body, headers)

    def get(self, path: str, **headers: str) -> Answer:
        """One GET."""
        return self.ask("GET", path, None, headers)

    def raw(self, data: bytes, *, timeout: float = 5.0) -> bytes:
        """Bytes out, bytes in until the other end closes, or says no more for a while."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            out = b""
            try:
                connection.sendall(data)
                while chunk := connection.recv(65_536):
                    out += chunk
            except (TimeoutError, ConnectionError):
                pass
            return out


@contextmanager
def running(service: Service) -> Iterator[Running]:
    """Listen, and end in order."""
    listener = listen(service)
    server = Server(service)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.005)
    try:
        yield Running(service, server, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        service.stop()
        assert not thread.is_alive()
