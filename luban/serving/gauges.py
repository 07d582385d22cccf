"""What /metrics says (Prometheus text format): requests, latency, batches, lines, refusals, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

import luban

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Gauges:
    """One registry a service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "luban_requests", "Requests by route, model and status.", ["route", "model", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "luban_request_seconds", "From a request's head to its answer.", ["route", "model"], buckets=LATENCY, registry=self.registry
        )
        self.rows = Counter("luban_rows", "Rows answered.", ["model"], registry=self.registry)
        self.batch_rows = Histogram("luban_batch_rows", "Rows of a batch.", ["model"], buckets=ROWS, registry=self.registry)
        self.batch_seconds = Histogram(
            "luban_batch_seconds", "Seconds a batch is computed.", ["model"], buckets=LATENCY, registry=self.registry
        )
        self.tokens = Counter("luban_tokens", "Tokens generated.", ["model"], registry=self.registry)
        self.prompt_tokens = Counter("luban_prompt_tokens", "Tokens of prompts that were answered.", ["model"], registry=self.registry)
        self.reused_tokens = Counter(
            "luban_reused_tokens", "Of these, tokens whose keys and values were known already.", ["model"], registry=self.registry
        )
        self.running = Gauge("luban_model_info", "1 for the version that answers.", ["model", "version"], registry=self.registry)
        self.failed_exchanges = Counter("luban_failed_exchanges", "Newer versions that were refused.", ["model"], registry=self.registry)
        Gauge("luban_info", "The program.", ["version"], registry=self.registry).labels(luban.__version__).set(1)
        self.counters: dict[tuple[str, str, int], Any] = {}
        self.timers: dict[tuple[str, str], Any] = {}

    def answered(self, route: str, model: str, status: int, seconds: float) -> None:
        """One request is over; labels are looked up once."""
        counter = self.counters.get((route, model, status))
        if counter is None:
            counter = self.counters[route, model, status] = self.requests.labels(route, model, str(status))
        timer = self.timers.get((route, model))
        if timer is None:
            timer = self.timers[route, model] = self.latency.labels(route, model)
        counter.inc()
        timer.observe(seconds)

    def batches(self, model: str) -> Callable[[int, int, float], None]:
        """Told of each batch: requests, rows, seconds."""
        rows, sizes, times = self.rows.labels(model), self.batch_rows.labels(model), self.batch_seconds.labels(model)

        def seen(requests: int, count: int, seconds: float) -> None:
            rows.inc(count)
            sizes.observe(count)
            times.observe(seconds)

        return seen

    def pieces(self, model: str) -> Callable[[Any], None]:
        """Told of each piece of a generated answer."""
        tokens, read, reused = self.tokens.labels(model), self.prompt_tokens.labels(model), self.reused_tokens.labels(model)

        def seen(piece: Any) -> None:
            tokens.inc(piece.tokens)
            if piece.finish:
                read.inc(piece.prompt_tokens)
                reused.inc(piece.reused)

        return seen

    def version(self, model: str, version: str) -> None:
        """The version that answers from now on."""
        for metric in list(self.running.collect()):
            for sample in metric.samples:
                if sample.labels["model"] == model:
                    self.running.remove(model, sample.labels["version"])
        self.running.labels(model, version).set(1)

    def watch(self, name: str, what: str, labels: list[str], look: Callable[[], Iterable[tuple[list[str], float]]]) -> None:
        """A value that is looked up whenever it is asked for."""

        class Looked:
            def collect(self) -> Iterable[GaugeMetricFamily]:
                family = GaugeMetricFamily(name, what, labels=labels)
                for values, value in look():
                    family.add_metric(values, value)
                yield family

        self.registry.register(Looked())  # type: ignore[arg-type]

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
