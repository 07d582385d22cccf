"""What was answered, as JSON lines: off unless asked for, without rows and answers unless asked for, and never larger than allowed.

A line is a batch: time, model, version, requests, rows, seconds, and the reference's bin of each row and answer, from which nothing can be read back
but what range a cell lay in. Before the first line of a version stand its reference histograms, so that `luban monitor` needs nothing else.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from luban import strict_json
from luban.bundle import golden, reference
from luban.errors import DataError, warn
from luban.messages import tr
from luban.serving.rows import Rows

LEAST = 100_000  # bytes


class PredictionLog:
    """One file, and the one before it; each holds half of what is allowed."""

    def __init__(self, path: Path, *, most_bytes: int, payload: bool) -> None:
        self.path, self.half, self.payload = path, max(LEAST, most_bytes) // 2, payload
        self.lock, self.told, self.failed = threading.Lock(), set[tuple[str, str]](), False
        try:
            self.size = path.stat().st_size if path.exists() else 0
            path.open("ab").close()
            path.chmod(0o600)
        except OSError as error:
            raise DataError(
                "L229", tr("the answers cannot be written: {why}", why=error.strerror or str(error)), where=str(path)
            ) from error

    def batch(
        self, model: str, version: str, known: dict[str, Any], parts: list[Rows], answers: list[Any], *, seconds: float, bins: dict[str, Any]
    ) -> None:  # fmt: skip
        """One line; a disk that fails is told once, and the service goes on."""
        entry: dict[str, Any] = {"time": round(time.time(), 3), "model": model, "version": version, "requests": len(parts)}
        entry |= {"rows": sum(part.count for part in parts), "seconds": round(seconds, 6), "bins": bins}
        if self.payload:
            entry |= {
                "inputs": [golden.to_json(part.columns) for part in parts],
                "answers": [a if isinstance(a, list) else None for a in answers],
            }
        try:
            with self.lock:
                self.append(model, version, known, line(entry))
        except OSError as error:
            if not self.failed:
                self.failed = True
                warn("W611", tr("the log of answers cannot be written: {why}", why=error.strerror or str(error)), where=str(self.path))

    def append(self, model: str, version: str, known: dict[str, Any], text: bytes) -> None:
        """Write, and begin a new file where this one is full."""
        if self.size and self.size + len(text) > self.half:
            os.replace(self.path, self.path.with_name(self.path.name + ".1"))
            self.size, self.told = 0, set()
        if (model, version) not in self.told:
            self.told.add((model, version))
            text = line({"model": model, "version": version, "reference": known}) + text
        if len(text) > self.half:
            return
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(text)
        self.size += len(text)


def line(entry: dict[str, Any]) -> bytes:
    """As JSON."""
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of the file before and of this one; a last line that is cut is left out. Raises DataError L280 where there is none."""
    files = [file for file in (path.with_name(path.name + ".1"), path) if file.is_file()]
    if not files:
        raise DataError("L280", tr("no log of answers here"), where=str(path), fix="luban serve BUNDLE --log FILE")
    for file in files:
        with file.open("rb") as lines:
            for text in lines:
                try:
                    entry = strict_json.loads(text)
                except ValueError:
                    continue
                if isinstance(entry, dict) and isinstance(entry.get("model"), str) and isinstance(entry.get("version"), str):
                    yield entry


def drift(path: Path) -> list[dict[str, Any]]:
    """Of each model, version and column: rows, stability index, divergence. Raises DataError L280."""
    known: dict[tuple[str, str, str], reference.Sketch] = {}
    counts: dict[tuple[str, str, str], Any] = {}
    for entry in entries(path):
        for name, bins in table(entry.get("reference")):
            if reference.is_sketch(bins):
                known[entry["model"], entry["version"], name] = bins
        for name, found in table(entry.get("bins")):
            key = (entry["model"], entry["version"], name)
            if (
                key in known
                and isinstance(found, list)
                and all(type(one) is int and 0 <= one < reference.size(known[key]) for one in found)
            ):
                counts[key] = counts.get(key, 0) + reference.count(np.asarray(found, np.int64), known[key])
    return [
        {"model": key[0], "version": key[1], "column": key[2], "rows": int(found.sum()),
         "psi": reference.stability(np.asarray(known[key]["counts"]), found), "js": reference.divergence(np.asarray(known[key]["counts"]), found)}
        for key, found in counts.items() if found.sum()
    ]  # fmt: skip


def table(value: Any) -> list[tuple[str, Any]]:
    """Names and values, or nothing."""
    return list(value.items()) if isinstance(value, dict) else []
