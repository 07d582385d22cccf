"""The process: a socket, signals, a clock, and an end in order: not ready, then no new connections, then what is in work, then out with 0."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from luban.errors import MachineError, RecipeError, say
from luban.messages import tr
from luban.serving.app import Service
from luban.serving.protocol import protocol
from luban.serving.settings import Place

SWITCH_S = 0.0005  # how soon a thread that computes lets the loop have its turn
HALF_WAY_S = 0.05  # for greetings under way when nobody else is greeted any more
ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux: what a socket hears passes a program of (code, jump if true, if false, operand)
DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))  # flags of TCP; has SYN: drop; else take all


class Server(uvicorn.Server):
    """uvicorn's, with our signals and our end."""

    def __init__(self, service: Service, ready: Callable[[str], None] = lambda url: None) -> None:
        limits = service.limits
        config = uvicorn.Config(
            service.app,
            http=protocol(limits),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=min(2048, limits.connections),
            timeout_keep_alive=60,
            timeout_graceful_shutdown=max(1, int(limits.drain_s)),
        )
        super().__init__(config)
        self.service, self.ready, self.asked = service, ready, 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours, on the loop."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # no signals outside the main thread
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.leave)
            loop.add_signal_handler(signal.SIGHUP, self.exchange)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it listens, once it does."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            self.ready(f"http://{'[' + host + ']' if ':' in host else host}:{port}")

    def leave(self) -> None:
        """The first signal: in order; the second: at once."""
        self.asked += 1
        if self.asked == 1:
            self.service.guard.draining = True
            self.leaving = asyncio.get_running_loop().create_task(self.close_the_door())
            with contextlib.suppress(OSError):  # whoever read along may be gone
                say(tr("stopping: not ready from now on, requests in work are answered"))
        else:
            self.force_exit = self.should_exit = True

    async def close_the_door(self) -> None:
        """Wait for the balancer to notice; then take in who already knocked, and close."""
        await asyncio.sleep(self.service.limits.leave_s)
        self.should_exit = True

    def exchange(self) -> None:
        """SIGHUP: look for newer versions, beside the loop."""
        self.service.exchange_later()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; every tenth time the clock of each connection is looked at."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.look(now)  # type: ignore[union-attr]
            self.service.look(counter // 10)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody else be greeted, take in whom the kernel greeted already, and only then close the door."""
        for server in self.servers:
            for listener in server.sockets:
                if greet_nobody(listener):
                    await asyncio.sleep(HALF_WAY_S)
                asyncio.get_running_loop().remove_reader(listener.fileno())
                for _ in range(2):  # asyncio hands over in two turns; a server closed between them loses the connection
                    await asyncio.sleep(0)
                await self.take_in(listener)
        await super().shutdown(sockets)

    async def take_in(self, listener: socket.socket) -> None:
        """Accept what waits in the kernel's line."""
        loop, own = asyncio.get_running_loop(), listener.dup()
        make: Any = self.config.http_protocol_class
        own.setblocking(False)
        try:
            while True:
                connected, _ = own.accept()
                protocol_of = partial(make, config=self.config, server_state=self.server_state, app_state={}, _loop=loop)
                await loop.connect_accepted_socket(protocol_of, connected)
                await asyncio.sleep(0)
        except OSError:
            return
        finally:
            own.close()


def greet_nobody(listener: Any) -> bool:
    """Let the kernel drop what begins a connection: one that it greets between the last look into its line and the close is cut off; only Linux can."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in DROP_SYN))
    try:
        listener.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(DROP_SYN), ctypes.addressof(code)))
    except OSError:
        return False
    return True


def listen(service: Service) -> socket.socket:
    """The socket, bound. Raises MachineError L520 where the address is taken or not ours."""
    place = service.place
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio lets Nagle hold back what is small
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((place.host, place.port))
    except OSError as error:
        listener.close()
        what = tr("cannot listen there: {why}", why=error.strerror or str(error))
        fix = tr("choose another with --port")
        raise MachineError("L520", what, where=f"{place.host}:{place.port}", fix=fix) from error
    return listener


def check_exposure(place: Place, keys: Any) -> None:
    """Raises RecipeError L180 where others could reach a service without a key."""
    if not place.is_loopback and not keys:
        fix = tr("luban serve --new-key NAME --keys FILE, then serve with --keys FILE")
        raise RecipeError("L180", tr("without keys the service answers this machine only"), where="--host", received=place.host, fix=fix)


def serve(service: Service, *, ready: Callable[[str], None]) -> int:
    """Serve until a signal comes; the exit code."""
    check_exposure(service.place, service.keys)
    listener = listen(service)
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what is loaded now stays: collections need not look at it
    asyncio.run(Server(service, ready).serve(sockets=[listener]))
    service.stop()
    return 0
