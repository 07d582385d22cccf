"""Freed memory stays with the process while steps are taken, and goes back afterwards; where the allocator cannot be told, nothing happens."""

from __future__ import annotations

import ctypes
import resource
from types import SimpleNamespace

import pytest
import torch

from luban import memory

TOLD = hasattr(ctypes.CDLL(None), "mallopt")
COUNT, SIZE = 20, 12_000_000  # floats: 48 MB, which are mapped by themselves otherwise


def faults() -> int:
    """Pages this process was given so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def given_for(count: int) -> int:
    """Pages that filling and freeing so many tensors takes."""
    before = faults()
    for _ in range(count):
        torch.zeros(SIZE).add_(1)
    return faults() - before


@pytest.mark.skipif(not TOLD, reason="the allocator is not glibc's")
def test_pages_are_given_once() -> None:
    with memory.kept():
        given_for(1)
        kept = given_for(COUNT)
    pages = SIZE * 4 / 4096  # of one tensor
    assert kept < 3 * pages
    assert given_for(COUNT) > COUNT * pages / 2


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
