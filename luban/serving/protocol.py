"""HTTP/1.1 on a socket, as uvicorn and h11 have it, with a clock: whoever sends slowly, too much or nonsense is told so and let go."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from luban.serving import problems
from luban.serving.settings import Limits

LEFT_OVER = 1_000_000  # bytes of an unwanted body that are still taken, so that the refusal is read
LEFT_OVER_S = 3.0
LAST_WORD_S = 0.5


def protocol(limits: Limits) -> type[H11Protocol]:
    """The class of a connection under these limits."""

    class Guarded(Connection):
        pass

    Guarded.limits = limits
    return Guarded


class Connection(H11Protocol):
    """One connection."""

    limits = Limits()
    waits_since: float | None = None  # since when a request's head is incomplete
    refused_since: float | None = None  # since when a body comes that nobody wants
    left_over = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is one that says it slowly."""
        super().connection_made(transport)
        self.waits_since = self.loop.time()
        if len(self.connections) > self.limits.connections:
            self.say(problems.crowded())

    def data_received(self, data: bytes) -> None:
        """Take what came; count what nobody wants."""
        if self.is_over():
            self.left_over += len(data)
            self.refused_since = self.refused_since or self.loop.time()
            if self.left_over > LEFT_OVER:
                self.transport.abort()
                return
        elif self.waits_since is None and (self.cycle is None or self.cycle.response_complete):
            self.waits_since = self.loop.time()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.waits_since = None

    def on_response_complete(self) -> None:
        """A next request that stands there already starts the clock anew."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.refused_since = self.loop.time()

    def shutdown(self) -> None:
        """The door is closed: whoever came in has a moment to say what he wants; what he is told then ends the connection."""
        self.loop.call_later(LAST_WORD_S, self.end)

    def end(self) -> None:
        """Close, or let the answer in work be the last one."""
        if not self.transport.is_closing():
            super().shutdown()

    def is_over(self) -> bool:
        """Whether the answer was given before its body had come."""
        return self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY

    def look(self, now: float) -> None:
        """Once a second: let go of who is too slow."""
        if self.refused_since is not None and not self.is_over():
            self.refused_since, self.left_over = None, 0
        if self.refused_since is not None and now - self.refused_since > LEFT_OVER_S:
            self.transport.abort()
        elif self.waits_since is not None and now - self.waits_since > self.limits.head_s:
            self.say(problems.too_slow())

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is told so by a code; a body that ends in nonsense ends its request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        hint = getattr(sys.exc_info()[1], "error_status_hint", 400)
        self.say(problems.head_too_large() if hint == 431 else problems.unreadable())

    def say(self, error: problems.RequestError) -> None:
        """Answer without an application, and close."""
        self.waits_since = None
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error.body("-")
            head: list[tuple[Any, Any]] = [
                (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close"), *error.headers,
            ]  # fmt: skip
            for event in (h11.Response(status_code=error.status, headers=head), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
