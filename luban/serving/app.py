"""The service: models on a shelf, routes over them, a guard in front."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

import luban
from luban.errors import logger, say
from luban.serving import openai_routes, page, problems, routes
from luban.serving.body import Gone
from luban.serving.gauges import Gauges
from luban.serving.guard import Call, Guard, Receive, Scope, Sender
from luban.serving.hosted import Shelf
from luban.serving.keys import Entry, Keys
from luban.serving.openapi import describe
from luban.serving.prediction_log import PredictionLog
from luban.serving.settings import Limits, Place
from luban.training.device import use_threads

PREDICT = "/v1/predict/"
FEWEST = 50  # requests, from which their cost is known
DRIFT = {
    "luban_drift_rows": "Rows that were counted.",
    "luban_drift_psi": "Population stability index of the last rows against those learnt from; above 0.2 something has changed.",
    "luban_drift_js": "Jensen-Shannon divergence in bits of the last rows against those learnt from.",
}
SMALL = 5_000_000  # parameters, below which a second thread costs more than it brings beside a second worker


class Service:
    """Everything one process serves."""

    def __init__(
        self,
        bundles: list[tuple[str, Path]],
        *,
        limits: Limits | None = None,
        place: Place | None = None,
        keys: dict[str, Entry] | None = None,
        watch_s: int = 0,
        threads: int = 0,
        log: PredictionLog | None = None,
    ) -> None:
        self.limits, self.place, self.keys, self.watch_s = limits or Limits(), place or Place(), Keys(keys or {}), watch_s
        self.gauges = Gauges()
        self.shelf = Shelf(bundles, self.limits, self.gauges, log)
        use_threads(threads or (1 if self.shelf.parameters < SMALL else 0))
        self.gauges.watch(
            "luban_waiting_requests", "Requests in line or in work.", ["model"],
            lambda: [([name], hosted.batcher.requests) for name, hosted in self.shelf.models.items()],
        )  # fmt: skip
        for figure, (name, what) in enumerate(DRIFT.items()):
            self.gauges.watch(name, what, ["model", "column"], partial(self.drift, figure))
        self.fastapi = self.routed()
        self.app = self.guard = Guard(self.answer, self.place, self.keys, self.gauges, admit=self.admit)
        self.seen = (0.0, 0)  # processor seconds of the loop, and requests, a second ago
        self.exchanging = threading.Lock()

    def routed(self) -> FastAPI:
        """The application without its guard."""
        app = FastAPI(title="Luban", version=luban.__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
        app.state.service = self
        app.openapi = lambda: describe(self)  # type: ignore[method-assign]
        for module in (routes, openai_routes, page):
            for path, method, handler in module.ROUTES:
                app.add_route(path, handler, methods=[method])
        return app

    async def answer(self, scope: Scope, receive: Receive, send: Sender) -> None:
        """Straight to the route: the layers that an application has before it, for errors and what begins with it, are the guard and this."""
        scope["app"] = self.fastapi
        try:
            await self.fastapi.router(scope, receive, send)
        except Exception as error:  # told by its number, or raised on
            if send.begun:  # the connection ends
                if not isinstance(error, Gone):
                    logger.error("L619 %s: %s: %s", scope["luban"].number, type(error).__name__, traceback_place(error))
                raise
            await told(scope["luban"], error)(scope, receive, send)

    def drift(self, figure: int) -> Iterator[tuple[list[str], float]]:
        """One figure for each column of each model."""
        for name, hosted in self.shelf.models.items():
            for column, *figures in hosted.opened.watch.drift():
                yield [name, column], figures[figure]

    def exchange_later(self) -> None:
        """Look for newer versions in a thread; one look at a time."""

        def look() -> None:
            if self.exchanging.acquire(blocking=False):
                try:
                    self.shelf.exchange(lambda name, what: say(f"{name}: {what}"))
                finally:
                    self.exchanging.release()

        threading.Thread(target=look, name="exchange", daemon=True).start()

    def admit(self, path: str, call: Call) -> None:
        """Raises RequestError L612 where a model has enough to do."""
        if path.startswith(PREDICT) and (hosted := self.shelf.models.get(path[len(PREDICT) :])) is not None:
            call.route, call.model = "/v1/predict", hosted.name
            hosted.batcher.admit()

    def look(self, second: int) -> None:
        """Once a second: what a request costs the loop; and where asked for, look for newer versions now and then."""
        now, before = (time.thread_time(), self.guard.served), self.seen
        if now[1] - before[1] >= FEWEST:
            self.seen = now
            for hosted in self.shelf.models.values():
                hosted.batcher.forecast.request_s = (now[0] - before[0]) / (now[1] - before[1])
        if self.watch_s and second and second % self.watch_s == 0:
            self.exchange_later()

    def stop(self) -> None:
        """Let everything come to its end."""
        self.shelf.stop()


def told(call: Call, error: Exception) -> Response:
    """What is answered instead; of an error of ours the log says which, the answer its number only."""
    if isinstance(error, Gone):  # nobody reads this
        return Response(status_code=499)
    if isinstance(error, HTTPException):  # 404 and 405 of the router
        error = problems.wrong_method() if error.status_code == 405 else problems.not_found()
    if not isinstance(error, problems.RequestError):
        logger.error("L619 %s: %s: %s", call.number, type(error).__name__, traceback_place(error))
        error = problems.internal()
    headers = {name.decode(): value.decode() for name, value in error.headers}
    if error.status in (408, 413):
        headers["connection"] = "close"
    return Response(error.body(call.number, call.language), error.status, headers, "application/json")


def traceback_place(error: BaseException) -> str:
    """Where it was raised; its words may hold what was asked."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
