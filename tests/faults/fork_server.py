"""Opens bundles, each in a process of its own with bounded memory, and tells what happened; run as a script, paths on stdin.

Everything is imported once, then forked. No table is touched before the fork: polars' threads would not survive it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

MEMORY = 600_000_000  # address space a case may add; threads' stacks included
SECONDS = 60  # after which a case is killed
WATCHED = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.", "os.chdir", "os.remove", "os.rename",
           "os.mkdir", "os.symlink", "shutil.", "pickle.", "urllib.")  # fmt: skip
HARMLESS = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo")


def watch(folder: Path) -> list[str]:
    """The list to which every suspicious event of this process is added."""
    seen: list[str] = []
    allowed = (str(folder), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "luban"), *HARMLESS)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(WATCHED):
            seen.append(f"{event} {arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if not os.path.abspath(path).startswith(allowed) or "w" in str(arguments[1] or ""):
                seen.append(f"open {path} {arguments[1]}"[:200])

    sys.addaudithook(hook)
    return seen


def case(folder: Path) -> dict[str, Any]:
    """Open one bundle."""
    import luban
    from luban.errors import LubanError

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    before, place = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, os.getcwd()
    seen, begun = watch(folder), time.process_time()
    try:
        luban.load(folder)
        found = {"code": "opened", "line": ""}
    except LubanError as error:
        found = {"code": error.code, "line": error.line()}
    except BaseException as error:  # noqa: BLE001 whatever else comes is the failure that is looked for
        found = {"code": type(error).__name__, "line": str(error)[:200]}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return found | {"seconds": time.process_time() - begun, "kilobytes": grown, "events": seen[:9], "moved": os.getcwd() != place}


def forked(folder: Path) -> dict[str, Any]:
    """What a child says of one bundle, or how it died."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(writing, json.dumps(case(folder)).encode())
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = os.read(reading, 1 << 16) if ready else b""
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return (
        json.loads(said)
        if said
        else {"code": f"died {status}", "line": "", "seconds": SECONDS, "kilobytes": 0, "events": [], "moved": False}
    )


def main() -> None:
    """A line of JSON for each path."""
    import torch

    from luban import catalog, recipe

    torch.set_num_threads(1)
    importlib.import_module("luban.bundle.model")
    for folder in ("tasks", "models", "kinds"):
        for name in catalog.entries(folder):
            catalog.load(folder, name)
    recipe.parse({"task": "classification", "data": "none", "target": "y", "inputs": {"x": "number"}})
    with torch.device("meta"):
        torch.nn.Embedding(2, 2)
        torch.nn.init.orthogonal_(torch.nn.Linear(2, 2).weight)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(Path(line.rstrip("\n")))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
