"""Every warning of a run is kept: in `messages.jsonl`, and in the report."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

logger = logging.getLogger("luban")
MOST = 1000


class Recorder(logging.Handler):
    """Collects the named warnings sent to the logger `luban` while it is open, those of earlier sittings included."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.WARNING)
        self.path = path
        self.warnings: list[dict[str, Any]] = []

    def __enter__(self) -> Recorder:
        if self.path.is_file():
            self.warnings = [found for line in self.path.read_text(encoding="utf-8").splitlines() if (found := parsed(line))]
        logger.addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning once, at once."""
        facts = getattr(record, "luban", None) or {"code": "", "what": record.getMessage(), "where": "", "fix": ""}
        if facts not in self.warnings and len(self.warnings) < MOST:
            self.warnings.append(facts)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(facts, ensure_ascii=False) + "\n")


def parsed(line: str) -> dict[str, Any] | None:
    """A warning; None for a line that a kill cut short."""
    try:
        return json.loads(line)
    except ValueError:
        return None
