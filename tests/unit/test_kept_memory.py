"""Freed memory stays with the process while steps are taken, and goes back afterwards; where the allocator cannot be told, nothing happens."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from luban import memory

TOLD = hasattr(ctypes.CDLL(None), "mallopt")
PAGES = """
import resource, torch
from luban import memory

def given():  # pages, for filling and freeing twenty tensors of 48 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(12_000_000).add_(1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (48_000_000 / resource.getpagesize())

with memory.kept(wanted={wanted}):
    print(given())
"""


def tensors_given(*, wanted: bool) -> float:
    """For how many of twenty tensors a process was given pages."""
    found = subprocess.run([sys.executable, "-c", PAGES.format(wanted=wanted)], capture_output=True, text=True, check=True)
    return float(found.stdout)


@pytest.mark.skipif(not TOLD, reason="the allocator is not glibc's")
def test_pages_are_given_once() -> None:
    assert tensors_given(wanted=True) < 10
    assert tensors_given(wanted=False) > 15


def test_where_the_allocator_takes_no_orders_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    with memory.kept():
        pass


def test_limited_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *order: orders.append(order)))
    with memory.kept(wanted=False):
        pass
    assert orders == []
