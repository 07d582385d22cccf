"""Make the k-th system call that touches a file fail, or die there: k = 1, 2, 3 … until what is tried passes."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir", "truncate")
MOST = 500
DIED = 77


class Fault:
    """Counts calls; the k-th ends as it is told to."""

    def __init__(self, k: int, die: bool) -> None:
        self.k, self.die, self.count, self.name = k, die, 0, ""
        self.note: Path | None = None  # where the name of the call is left

    def step(self, name: str) -> None:
        """One call."""
        self.count += 1
        if self.count == self.k:
            self.name = name
            if self.note:
                self.note.write_text(name)
            if self.die:
                os._exit(DIED)
            raise OSError(errno.EIO, f"planted: {name}")


class File:
    """A file opened for writing, of which each write is a call; the k-th leaves half of it."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self.file, self.fault = file, fault

    def write(self, content: Any) -> int:
        """Half of it, should this be the call that fails."""
        if self.fault.count + 1 == self.fault.k:
            self.file.write(content[: len(content) // 2])
            self.file.flush()
        self.fault.step("write")
        return self.file.write(content)

    def writelines(self, lines: Any) -> None:
        """Each is a write."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Within, calls are counted."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, counted(getattr(os, name), name, fault))
        opened = io.open

        def open_(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if set(mode) & set("wax+"):
                fault.step("open")
                return File(opened(path, mode, *rest, **named), fault)
            return opened(path, mode, *rest, **named)

        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        yield


def counted(call: Callable[..., Any], name: str, fault: Fault) -> Callable[..., Any]:
    """The call, after it was counted."""

    def calling(*given: Any, **named: Any) -> Any:
        fault.step(name)
        return call(*given, **named)

    return calling


def every_call(work: Callable[[], Any], begin: Callable[[], None], check: Callable[[str], None], *, die: bool) -> list[str]:
    """Try the work with the first call failing, then the second …, from a fresh beginning each; check after each; which calls failed."""
    names = []
    for k in range(1, MOST):
        begin()
        fault = Fault(k, die)
        if not (dies(work, fault) if die else fails(work, fault)):
            return names
        names.append(fault.name)
        check(f"call {k}: {fault.name or 'died'}")
    raise AssertionError("it never passes")


def fails(work: Callable[[], Any], fault: Fault) -> bool:
    """Whether a call failed; what goes wrong without that is an error of the work itself."""
    try:
        with failing(fault):
            work()
    except Exception:
        if not fault.name:
            raise
    return bool(fault.name)


def dies(work: Callable[[], Any], fault: Fault) -> bool:
    """Whether a process of its own died at a call."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException), failing(fault):
            work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DIED
