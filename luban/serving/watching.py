"""Whether rows and answers are still like those the model learnt from: counted in the reference's bins over the last rows, said in /metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from luban.bundle import reference
from luban.bundle.model import Model
from luban.columns import Columns

WINDOW = 10_000  # rows, after which older ones are dropped; between one and two windows count
EVERY_S = 0.05  # so often a batch is looked at, at most: looking costs time too


class Watch:
    """Counts of one version of a model. Batches are counted in their thread, /metrics asks from another."""

    def __init__(self, model: Model) -> None:
        known = model.fingerprint.get("histograms", {})
        known = known if isinstance(known, dict) else {}
        self.known: dict[str, reference.Sketch] = {name: bins for name, bins in known.items() if reference.is_sketch(bins)}
        self.labels = getattr(model.task, "labels", None)
        self.lock, self.looked, self.rows = threading.Lock(), 0.0, 0
        self.before = self.now = self.empty()

    def empty(self) -> dict[str, Any]:
        """No row yet."""
        return {name: np.zeros(reference.size(bins), np.int64) for name, bins in self.known.items()}

    def look(self, columns: Columns, answers: pl.DataFrame) -> dict[str, list[int]]:
        """Count a batch; the bin of each row by column, nothing where it is not this batch's turn."""
        now = time.monotonic()
        if not self.known or now - self.looked < EVERY_S or not len(columns):
            return {}
        self.looked = now
        found = {name: reference.measure(values) for name, values in columns.data.items() if name in self.known}
        values = reference.of_answers(answers, self.labels) if reference.ANSWER in self.known else None
        found |= {} if values is None else {reference.ANSWER: values}
        placed = {name: reference.places(values, self.known[name]) for name, values in found.items()}
        with self.lock:
            for name, bins in placed.items():
                self.now[name] = self.now[name] + reference.count(bins, self.known[name])
            self.rows += len(columns)
            if self.rows >= WINDOW:
                self.before, self.now, self.rows = self.now, self.empty(), 0
        return {name: bins.tolist() for name, bins in placed.items()}

    def drift(self) -> Iterator[tuple[str, int, float, float]]:
        """Column, rows counted, stability index, divergence."""
        with self.lock:
            counts = {name: self.now[name] + (self.before[name] if self.before is not self.now else 0) for name in self.known}
        for name, found in counts.items():
            if total := int(found.sum()):
                known = np.asarray(self.known[name]["counts"])
                yield name, total, reference.stability(known, found), reference.divergence(known, found)
