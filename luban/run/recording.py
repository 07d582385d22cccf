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
            self.warnings = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        logger.addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logger.removeHandler(self)
        self.path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.warnings), encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning once."""
        facts = getattr(record, "luban", None) or {"code": "", "what": record.getMessage(), "where": "", "fix": ""}
        if facts not in self.warnings and len(self.warnings) < MOST:
            self.warnings.append(facts)
