"""The training log: one JSON line a step; cut back on resume, so that an interrupted run's log is the uninterrupted one's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from luban.errors import warn
from luban.messages import tr

MAX_POINTS = 400


class Log:
    """Lines gathered in memory, written when a checkpoint is."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "log.jsonl" if folder else None
        self.waiting: list[dict[str, Any]] = []

    def add(self, **line: Any) -> None:
        """One line."""
        if self.path:
            self.waiting.append(line)

    def size(self) -> int:
        """Bytes that wait."""
        return sum(len(json.dumps(line)) + 1 for line in self.waiting)

    def flush(self) -> int:
        """Write what waits; the length of the file in bytes."""
        if self.path is None:
            return 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in self.waiting)
            file.flush()
            os.fsync(file.fileno())
        self.waiting.clear()
        return self.path.stat().st_size

    def cut(self, length: int) -> None:
        """Drop what was written after the checkpoint; a log shorter than that is one somebody changed, and ends with its last whole line."""
        if self.path is None:
            return
        kept = self.path.stat().st_size if self.path.is_file() else 0
        if kept < length:
            warn("W322", tr("the log is shorter than the checkpoint says: the report will lack these steps"), where=str(self.path))
            length = self.path.read_bytes().rfind(b"\n") + 1 if kept else 0
        if kept > length:
            os.truncate(self.path, length)


def curves(path: Path) -> dict[str, list[list[float]]]:
    """Training losses, thinned by averaging to at most 400 points, and validation scores, by step."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    losses = [(line["step"], next(iter(line["losses"].values()))) for line in lines if "losses" in line]
    width = max(1, -(-len(losses) // MAX_POINTS))
    train = []
    for start in range(0, len(losses), width):
        part = losses[start : start + width]
        train.append([part[-1][0], sum(value for _, value in part) / len(part)])
    return {"train": train, "validation": [[line["step"], line["score"]] for line in lines if "score" in line]}
