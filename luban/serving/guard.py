"""What every request meets first: its number, the Host it names, the Origin it comes from, its key; and last: its headers and its line in /metrics."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from luban.serving import problems
from luban.serving.body import Gone, header
from luban.serving.gauges import Gauges
from luban.serving.keys import Keys
from luban.serving.settings import Place

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Any], Awaitable[None]]
OPEN = ("/", "/health/live", "/health/ready", "/favicon.ico")  # without a key: what holds nothing of anybody
PAGE = "/page/"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
TOO_MANY = 429
REST_S = 0.004  # a dozen times what a refusal costs: one after the other, they take less than a tenth of a processor
LONGEST_REST_S = 1.0  # as Retry-After says
REFUSED_CLOSES = (400, 401, 403, 408, 413, 421, 431)


@dataclass(eq=False)
class Call:
    """What is known of a request while it is answered."""

    number: str
    language: str = "en"
    key: str = ""
    route: str = "other"
    model: str = ""
    status: int = 500


class Guard:
    """The outermost layer."""

    def __init__(self, app: App, place: Place, keys: Keys, gauges: Gauges, *, admit: Callable[[str, Call], None]) -> None:
        self.app, self.keys, self.gauges, self.admit = app, keys, gauges, admit
        self.names = {*LOOPBACK, *(name.lower() for name in place.allowed_hosts), place.host.lower()}
        self.origins = {origin.encode() for origin in place.allowed_origins}
        self.prefix, self.served = secrets.token_hex(4), 0
        self.draining = False
        self.resting = 0  # refusals that are held back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or tell it why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, headers = time.perf_counter(), scope["headers"]
        self.served += 1
        call = scope["luban"] = Call(f"{self.prefix}-{self.served:08x}", problems.language_of(headers))
        answer = Sender(send, call, self.draining, self.rest)
        try:
            answer.allowed = self.check(scope, headers, call)
            if scope["method"] == "OPTIONS" and answer.allowed:
                await preflight(answer)
            else:
                self.admit(scope["path"], call)  # too much is refused before anything of the body is read
                await self.app(scope, receive, answer)
        except problems.RequestError as error:
            await refuse(answer, error, call)
        except (Gone, asyncio.CancelledError):
            call.status = 499
            raise
        except Exception:  # noqa: BLE001 the application logged its place; its words may hold what was asked, and end here
            await refuse(answer, problems.internal(), call)
        finally:
            self.gauges.answered(call.route, call.model, call.status, time.perf_counter() - begun)

    async def rest(self) -> None:
        """Hold a 429 back for a moment, the longer the more are held: refusals never take most of the time, and no accepted request waits for them."""
        if self.draining:
            return
        self.resting += 1
        try:
            await asyncio.sleep(min(LONGEST_REST_S, self.resting * REST_S))
        finally:
            self.resting -= 1

    def check(self, scope: Scope, headers: Any, call: Call) -> bytes:
        """The Origin to allow, if any. Raises RequestError L610, L611, L613, L614."""
        host, origin = header(headers, b"host").decode("latin-1").lower(), header(headers, b"origin")
        if not self.is_known(host):
            raise problems.wrong_host()
        own = origin in (f"http://{host}".encode(), f"https://{host}".encode())
        if origin and not own and origin not in self.origins:
            raise problems.wrong_origin()
        path = scope["path"]
        if path not in OPEN and not path.startswith(PAGE) and scope["method"] != "OPTIONS":
            call.key = self.keys.check(header(headers, b"authorization"))
        return b"" if own else origin

    def is_known(self, host: str) -> bool:
        """Whether the service may be called so: by a name it was told, or by an address, which no name server can turn elsewhere."""
        name, bracket, rest = host.partition("]")
        name = name + bracket if bracket else host.rpartition(":")[0] or host
        port = rest.removeprefix(":") if bracket else host.rpartition(":")[2] if ":" in host else ""
        if port and not port.isdecimal():
            return False
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


class Sender:
    """Adds what every answer carries."""

    def __init__(self, send: Send, call: Call, draining: bool, rest: Callable[[], Awaitable[None]]) -> None:
        self.send, self.call, self.draining, self.rest = send, call, draining, rest
        self.allowed, self.begun = b"", False

    async def __call__(self, message: Any) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.begun, self.call.status = True, message["status"]
            if message["status"] == TOO_MANY:
                await self.rest()
            extra = [(b"x-request-id", self.call.number.encode()), *ALWAYS]
            if self.allowed:
                extra += [(b"access-control-allow-origin", self.allowed), (b"vary", b"Origin")]
            if self.draining:
                extra.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await self.send(message)


async def refuse(answer: Sender, error: problems.RequestError, call: Call) -> None:
    """Tell why not; where a body may still be on its way, the connection ends."""
    if answer.begun:
        return
    body = error.body(call.number, call.language)
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *error.headers]
    if error.status in REFUSED_CLOSES and not answer.draining:
        head.append((b"connection", b"close"))
    await answer({"type": "http.response.start", "status": error.status, "headers": head})
    await answer({"type": "http.response.body", "body": body})


async def preflight(answer: Sender) -> None:
    """What a page of an allowed Origin asks before it asks."""
    head = [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    await answer({"type": "http.response.start", "status": 204, "headers": head})
    await answer({"type": "http.response.body", "body": b""})
