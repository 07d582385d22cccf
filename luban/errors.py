"""One tree of errors, numbered; each says what, where, what was received, what is allowed, and the fix.

LubanError
├── RecipeError   L1xx  exit 2   the recipe or the command line
├── DataError     L2xx  exit 3   files, columns, rows, labels
├── TrainingError L3xx  exit 4   loss, optimizer, checkpoint, run folder
├── BundleError   L4xx  exit 5   a bundle or checkpoint folder that is damaged, foreign or of another version
└── MachineError  L5xx  exit 6   device, memory, disk, a missing extra

Warnings are numbered too (W2xx …): `warn` sends them to the logger `luban`, never to a traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from luban.messages import tr

logger = logging.getLogger("luban")


NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


class LubanError(Exception):
    """An error with a code and a fix, one line when printed."""

    exit_code = 1

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str = "",
        received: Any = None,
        allowed: Iterable[Any] = (),
        fix: str = "",
    ) -> None:
        self.code, self.what, self.where, self.fix = code, what, where, fix
        self.received, self.allowed = received, tuple(str(a) for a in allowed)
        super().__init__(self.line())

    def line(self) -> str:
        """The whole error in one line."""
        parts = [f"{self.code} {self.where}: {self.what}" if self.where else f"{self.code} {self.what}"]
        if self.received is not None:
            parts.append(tr("received {value}", value=shorten(self.received)))
        if near := self.nearest():
            parts.append(tr("did you mean {name}?", name=repr(near)))
        if self.allowed:
            parts.append(tr("allowed: {names}", names=", ".join(self.allowed[:24]) + (", …" if len(self.allowed) > 24 else "")))
        line = " · ".join(parts) + (f" → {self.fix}" if self.fix else "")
        return line.replace("\n", " ")

    def nearest(self) -> str | None:
        """The allowed name most like the received one."""
        if not isinstance(self.received, str):
            return None
        return next(iter(get_close_matches(self.received, self.allowed, n=1, cutoff=0.5)), None)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        received = None if self.received is None else shorten(self.received)
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "received": received,
            "allowed": list(self.allowed),
            "nearest": self.nearest(),
            "fix": self.fix,
        }


class RecipeError(LubanError):
    """The recipe or the command line."""

    exit_code = 2


class DataError(LubanError):
    """Files, columns, rows, labels."""

    exit_code = 3


class TrainingError(LubanError):
    """Loss, optimizer, checkpoint, run folder."""

    exit_code = 4


class BundleError(LubanError):
    """A bundle or checkpoint folder that is damaged, foreign or of another version."""

    exit_code = 5


class MachineError(LubanError):
    """Device, memory, disk, a missing extra."""

    exit_code = 6


def warn(code: str, what: str, *, where: str = "", fix: str = "") -> None:
    """Send a named warning, one line, to the logger `luban`; a run keeps it in its report."""
    head = f"{code} {where}: {what}" if where else f"{code} {what}"
    line = f"{head} → {fix}" if fix else head
    logger.warning(line.replace("\n", " "), extra={"luban": {"code": code, "what": what, "where": where, "fix": fix}})


def say(what: str) -> None:
    """Send a line of information to the logger `luban`."""
    logger.info(what)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on any device; torch says so in words."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in NO_MEMORY)


def shorten(value: Any, limit: int = 80) -> str:
    """A value as text of at most `limit` characters, safe to print in one line."""
    if isinstance(value, str | bytes | list | tuple):
        value = value[: limit + 1]  # a million values need not be written out to be cut
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
