"""Whether a compiled network pays within its training: tried on a copy, measured, said (Ansel et al. 2024, "PyTorch 2")."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from luban.errors import MachineError
from luban.messages import tr
from luban.training.device import trial

LONG_S = 600.0  # a training shorter than this gains less than a trial takes
SLOW_S = 10.0  # a step; where even such steps are soon over, none is timed
MARGIN = 1.5  # what is saved, over what compiling takes once more


def choose(
    asked: str, task: Any, net: nn.Module, batches: list[Any], device: torch.device, precision: str, left: Callable[[float], float]
) -> tuple[nn.Module | None, str]:
    """(the compiled net, or None to go on without; why, "" where nothing was tried).

    `left` says how many seconds of training are left when a step takes so many. Raises MachineError L507 where it was asked for and cannot be.
    """
    if asked == "off":
        return None, ""
    if asked == "on":
        return required(net, task, batches, device, precision), tr("compiled: asked for")
    if left(SLOW_S) < LONG_S:
        return None, ""
    plain = trial(task, copy.deepcopy(net).train(), batches, device, precision)
    if left(plain) < LONG_S:
        return None, ""
    begun = time.perf_counter()
    try:
        fast = trial(task, compiled(copy.deepcopy(net).train(), device), batches, device, precision)
    except Exception as error:  # noqa: BLE001 whatever a compiler fails with, the run goes on without it
        return None, tr("not compiled: {why}", why=first_line(error))
    took = time.perf_counter() - begun
    figures = tr("{plain:.0f} ms a step, {fast:.0f} ms compiled, {took:.0f} s to compile", plain=plain * 1000, fast=fast * 1000, took=took)
    saved = (1 - fast / plain) * (left(plain) - took)
    return (
        (compiled(net, device), tr("compiled: {figures}", figures=figures))
        if saved > MARGIN * took
        else (
            None,
            tr("not compiled: {why}", why=figures),
        )
    )


def required(net: nn.Module, task: Any, batches: list[Any], device: torch.device, precision: str) -> nn.Module:
    """The compiled net, tried on a copy. Raises MachineError L507."""
    try:
        trial(task, compiled(copy.deepcopy(net).train(), device), batches, device, precision)
    except Exception as error:
        fix = tr('install a C++ compiler, or state compile = "off"')
        what = tr("the network cannot be compiled here: {why}", why=first_line(error))
        raise MachineError("L507", what, where="training.compile", received="on", fix=fix) from error
    return compiled(net, device)


def compiled(net: nn.Module, device: torch.device) -> nn.Module:
    """The same parameters, forward and backward compiled for batches of any size when they are first called."""
    import torch._inductor.config as settings

    settings.fallback_random = True  # dropout draws what it draws uncompiled
    if device.type == "cpu":
        settings.compile_threads = 1  # processes that compile side by side would stay, each with its own memory
    return torch.compile(net, dynamic=True)  # type: ignore[return-value]


def first_line(error: Exception) -> str:
    """What an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
