"""A process group that is left leaves no thread behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TASKS = Path("/proc/self/task")

ALONE = """
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from luban.training import optimizers
from luban.training.distributed import group


def threads():
    return [name for task in Path("/proc/self/task").iterdir() if "gloo" in (name := (task / "comm").read_text())]


with group("gloo", store=dist.FileStore(sys.argv[1], 1), rank=0, world_size=1):
    optimizers.load()
    dist.all_reduce(torch.ones(3))
    assert threads(), "the test looks for names that threads no longer have"
assert not threads(), threads()
"""


@pytest.mark.skipif(not TASKS.exists(), reason="threads are told by /proc")
def test_no_thread_outlives_the_group(tmp_path: Path) -> None:
    """Such a thread once asked for Python while it ended, and a rank that had done all its work was aborted."""
    subprocess.run([sys.executable, "-c", ALONE, str(tmp_path / "store")], check=True, timeout=120)
