"""Every warning of a run is kept: in `messages.jsonl`, and in the report."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from luban.data.prepare import Heard
from luban.files import write_whole


class Recorder(Heard):
    """Hears the warnings of a run, and keeps them in a file at once; those of earlier sittings are there already."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __enter__(self) -> Recorder:
        if self.path.is_file():
            text = self.path.read_text(encoding="utf-8", errors="replace")
            self.warnings = [found for line in text.splitlines() if (found := parsed(line))]
            write_whole(self.path, "".join(map(line_of, self.warnings)).encode())
        super().__enter__()
        return self

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning once."""
        known = len(self.warnings)
        super().emit(record)
        if len(self.warnings) > known:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line_of(self.warnings[-1]))


def line_of(warning: dict[str, Any]) -> str:
    """A warning as one line."""
    return json.dumps(warning, ensure_ascii=False) + "\n"


def parsed(line: str) -> dict[str, Any] | None:
    """A warning; None for a line that a kill cut short."""
    try:
        return json.loads(line)
    except ValueError:
        return None
