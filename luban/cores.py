"""How many cores this process may use: of the machine, of its affinity, of its container; and what they can."""

from __future__ import annotations

import os
from pathlib import Path

from luban import memory


def allowed() -> int:
    """Cores of this process's affinity, and of its control groups; at least one."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([own, *(int(share) for share in quotas())]))


def multiply_halves() -> bool:
    """Whether oneDNN has products of bfloat16 for this processor: without them they take up to thirty times float32's time; True where there is no oneDNN to ask."""
    import torch

    return not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def quotas() -> list[float]:
    """What control groups allow, in cores: of this one and those above (v2, and v1's cpu controller)."""
    found = [words(group / "cpu.max") for group in memory.groups(memory.CGROUP, "0::")]
    for group in {group for mark in (":cpu:", ":cpu,cpuacct:") for group in memory.groups(memory.CGROUP / "cpu", mark)}:
        found.append(words(group / "cpu.cfs_quota_us") + words(group / "cpu.cfs_period_us"))
    return [int(pair[0]) / int(pair[1]) for pair in found if len(pair) == 2 and all(word.isdecimal() and int(word) for word in pair)]


def words(file: Path) -> list[str]:
    """Words of a small file, none where there is none."""
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
