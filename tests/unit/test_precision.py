"""Which precision a training takes: by what the processor has, then by trial."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from luban import cores
from luban.training import device

CPU = torch.device("cpu")


def choice(monkeypatch: pytest.MonkeyPatch, asked: str, *, has: bool, times: list[tuple[str, float]]) -> tuple[str, str]:
    """What is chosen where trials take these seconds, and why; every trial must be asked for in this order."""
    following: Iterator[tuple[str, float]] = iter(times)

    def trial(task: None, net: nn.Module, batches: list[None], where: torch.device, precision: str) -> float:
        expected, seconds = next(following)
        assert precision == expected
        return seconds

    monkeypatch.setattr(device, "trial", trial)
    monkeypatch.setattr(cores, "multiply_halves", lambda: has)
    precision, why, _ = device.choose_precision(asked, None, nn.Linear(1, 1), [None], CPU)
    assert next(following, None) is None
    return precision, why


def test_the_faster_by_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    full, half = ("float32", 0.3), ("bfloat16", 0.2)
    assert choice(monkeypatch, "auto", has=True, times=[full, half, full])[0] == "bfloat16"
    assert choice(monkeypatch, "auto", has=True, times=[full, ("bfloat16", 0.27)])[0] == "float32"


def test_a_busy_moment_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, "auto", has=True, times=[("float32", 3.0), ("bfloat16", 0.3), ("float32", 0.31)])[0] == "float32"


def test_a_short_step_needs_no_second_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, "auto", has=True, times=[("float32", 0.001)])[0] == "float32"


def test_a_processor_without_such_products_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    precision, why = choice(monkeypatch, "auto", has=False, times=[])
    assert (precision, why) == ("float32", "this processor has no products of bfloat16")


def test_what_is_asked_for_is_done_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, "bfloat16", has=True, times=[]) == ("bfloat16", "asked for")
    precision, why = choice(monkeypatch, "bfloat16", has=False, times=[])
    assert precision == "bfloat16"
    assert "float32 is faster" in why


def test_on_a_gpu_the_processor_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "trial", lambda task, net, batches, where, precision: {"float32": 0.2, "bfloat16": 0.1}[precision])
    monkeypatch.setattr(cores, "multiply_halves", lambda: False)
    assert device.choose_precision("auto", None, nn.Linear(1, 1), [None], torch.device("cuda"))[0] == "bfloat16"


def test_the_processor_of_this_machine_says_what_it_has() -> None:
    assert isinstance(cores.multiply_halves(), bool)
