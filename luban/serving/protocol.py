"""HTTP/1.1 on a socket, as uvicorn and httptools have it, with bounds and a clock: whoever sends slowly, too much or nonsense is told so and let go."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from luban.serving import problems
from luban.serving.settings import Limits

MOST_HEAD = 32_768  # bytes
LEFT_OVER = 1_000_000  # bytes of an unwanted body that are still taken, so that the refusal is read
LEFT_OVER_S = 3.0
LAST_WORD_S = 0.5
LARGE = 65_536  # bytes that are written at once


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """The class of a connection under these limits."""

    class Guarded(Connection):
        pass

    Guarded.limits = limits
    return Guarded


class Connection(HttpToolsProtocol):
    """One connection."""

    limits = Limits()
    waits_since: float | None = None  # since when a request's head is incomplete
    refused_since: float | None = None  # since when a body comes that nobody wants
    left_over = 0
    reads = False  # a request has begun, and its end has not come
    aside = 0  # bytes that came since the parser last told of something: those that it holds
    wished: int | None = None  # where a head ended that asks for another protocol
    running: Any = None  # what is answered now; `cycle` is what came last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is one that says it slowly."""
        super().connection_made(transport)
        self.transport = Gathered(transport, self.loop)  # type: ignore[assignment]
        self.waits_since = self.loop.time()
        if len(self.connections) > self.limits.connections:
            self.say(problems.crowded())

    def data_received(self, data: bytes) -> None:
        """Take what came; count what nobody wants, and what the parser holds."""
        if self.is_over():
            self.left_over += len(data)
            if self.left_over > LEFT_OVER:
                self.transport.abort()
                return
        elif not self.reads and self.waits_since is None:
            self.waits_since = self.loop.time()
        if self.transport.is_closing():
            return
        self.aside += len(data)
        self.parse(data)
        if self.transport.is_closing():
            return
        if self.aside > MOST_HEAD:
            self.send_400_response("")
        elif not self.reads and not self.in_work() and self.waits_since is None and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def parse(self, data: bytes) -> None:
        """Let the parser read; whoever would rather speak another protocol is answered in this one, and his request read without that wish."""
        super().data_received(data)
        while self.wished is not None:
            rest, self.wished = data[self.wished :], None
            head = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]  # type: ignore[union-attr]
            head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
            data = b"\r\n".join((*head, b"", rest))
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            super().data_received(data)

    def _unsupported_upgrade_warning(self) -> None:
        """Keep in mind where the head ended."""
        self.wished = sys.exc_info()[1].args[0]  # type: ignore[union-attr]

    def eof_received(self) -> None:
        """Nothing more comes, and the connection ends: what is written already is sent."""
        self.transport.send()  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what is answered now, too."""
        super().connection_lost(exc)
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """A head begins: it has its time."""
        self.reads, self.aside = True, 0
        self.waits_since = self.waits_since or self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole. Raises ValueError where it is too large, names no host or several, or asks for what is not ours (RFC 9112, section 3.2)."""
        self.aside = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        hosts = sum(name == b"host" for name, _ in self.headers)
        named = hosts == 1 or (not hosts and self.parser is not None and self.parser.get_http_version() == "1.0")
        if self.aside > MOST_HEAD or not self.url.startswith(b"/") or not named or self.parser.get_method() == b"CONNECT":  # type: ignore[union-attr]
            raise ValueError
        self.aside = 0
        if not self.parser.should_upgrade():  # type: ignore[union-attr]
            self.waits_since = None
            super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of a head; what stands behind a body is nobody's."""
        if self.waits_since is not None:
            super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """A piece of a body begins."""
        self.aside = 0

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        self.aside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request came."""
        if self.waits_since is None:  # else its head is read anew
            self.reads, self.aside, self.left_over, self.refused_since = False, 0, 0, None
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """What still comes of a request that is answered is not wanted."""
        super().on_response_complete()
        if self.is_over():
            self.refused_since = self.loop.time()

    def shutdown(self) -> None:
        """The door is closed: whoever came in has a moment to say what he wants; what he is told then ends the connection."""
        self.loop.call_later(LAST_WORD_S, self.end)

    def end(self) -> None:
        """Close, or let the answer in work be the last one."""
        if not self.transport.is_closing():
            super().shutdown()

    def in_work(self) -> bool:
        """Whether an answer is still to be given."""
        return self.cycle is not None and not self.cycle.response_complete

    def is_over(self) -> bool:
        """Whether the answer was given before its body had come."""
        return self.reads and self.waits_since is None and self.cycle is not None and self.cycle.response_complete

    def look(self, now: float) -> None:
        """Once a second: let go of who is too slow."""
        if self.refused_since is not None and now - self.refused_since > LEFT_OVER_S:
            self.transport.abort()
        elif self.waits_since is not None and not self.in_work() and now - self.waits_since > self.limits.head_s:
            self.say(problems.too_slow())

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is told so by a code; a body that ends in nonsense ends its request, and nonsense behind a request is its last one."""
        if self.pipeline and self.waits_since is None:  # of a request that waits for its turn
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self.running
            self.waits_since = self.loop.time()
        if self.in_work() and self.waits_since is not None:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self.in_work():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.say(problems.head_too_large() if self.aside > MOST_HEAD else problems.unreadable())

    def say(self, error: problems.RequestError) -> None:
        """Answer without an application, and close."""
        answered = self.is_over() or (self.in_work() and self.cycle.response_started)
        self.waits_since = None
        if not answered and not self.transport.is_closing():
            body = error.body("-")
            head = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *error.headers,
            ]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)
            self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + body)
        self.transport.close()


class Gathered:
    """A transport that sends together what is written in one turn of the loop: the head of an answer and its body."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop, self.is_closing = transport, loop, transport.is_closing
        self.held: list[bytes] = []
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Keep it for the end of the turn."""
        if not self.held:
            self.loop.call_soon(self.send)
        self.held.append(data)
        self.size += len(data)
        if self.size > LARGE:
            self.send()

    def send(self) -> None:
        """Send what is kept."""
        if self.held:
            data, self.held, self.size = b"".join(self.held), [], 0
            self.transport.write(data)

    def close(self) -> None:
        """Send, and close."""
        self.send()
        self.transport.close()
