"""Cores: those of the affinity, or fewer where a container's quota says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luban import cores, memory


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": "250000 100000\n"}),
        ("3:cpuset:/y\n1:cpu:/a/b\n", {"cpu/a/b/cpu.cfs_quota_us": "200000\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}),
        ("4:cpu,cpuacct:/a\n", {"cpu/cpu.cfs_quota_us": "2000\n", "cpu/cpu.cfs_period_us": "1000\n"}),
    ],
)
def test_a_quota_of_two_cores_is_two_cores(lines: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    within(tmp_path, lines, files, monkeypatch)
    assert cores.allowed() == 2


@pytest.mark.parametrize("text", ["max 100000", "-1", "", "100000 0", "\x00"])
def test_no_quota_leaves_the_affinity(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    within(tmp_path, "0::/\n", {"cpu.max": text}, monkeypatch)
    assert cores.allowed() == 8


def test_less_than_a_core_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    within(tmp_path, "0::/\n", {"cpu.max": "50000 100000"}, monkeypatch)
    assert cores.allowed() == 1


def within(root: Path, lines: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores with these control groups."""
    monkeypatch.setattr(memory, "CGROUP", root)
    monkeypatch.setattr(memory, "OWN_GROUPS", root / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (root / "own").write_text(lines)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
