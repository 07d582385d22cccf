"""The other end of the fork-server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Ask = Callable[..., dict[str, Any]]


@contextmanager
def fork_server() -> Iterator[Ask]:
    """A function that asks it to do something."""
    here = Path(__file__).parent
    alone = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "LUBAN_LANG": "en"}
    paths = os.pathsep.join(map(str, (here, here.parent / "contract", here.parents[1])))
    with subprocess.Popen(
        [sys.executable, str(here / "server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | alone | {"PYTHONPATH": paths},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(**request: Any) -> dict[str, Any]:
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            answer = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            assert "error" not in answer, answer["error"]
            return answer["found"]

        yield ask
        process.stdin.close()


def killed(ask: Ask, name: str, folder: Path, *, kills: int, seed: int, note: Callable[[str, Any], None]) -> None:
    """Kill runs of this family; each, gone on with, must have come to the bits of the uninterrupted one."""
    found = ask(do="kill", name=name, folder=str(folder), kills=kills, seed=seed)
    assert not found["differing"], json.dumps(found["differing"], indent=1)
    assert found["kills"] >= kills
    note("kills", found["kills"])
    note("stages", json.dumps(found["stages"]))
