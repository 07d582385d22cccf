"""Where and how precisely to compute: device, threads, precision; chosen by looking and by trial, and said."""

from __future__ import annotations

import copy
import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from luban import cores
from luban.capabilities import Glances
from luban.errors import MachineError
from luban.messages import tr
from luban.training.distributed import asked as ranks

TRIAL_S = 0.5  # longest trial of one precision
GAIN = 1.2  # bfloat16 must be this much faster
SHARED_FLOPS = 100_000_000  # of a forward pass; below, threads wait for each other longer than they work
WORTH_S = 0.004  # a step shorter than this gains nothing


def choose_device(asked: str) -> torch.device:
    """The asked device, or a GPU where there is one. Raises MachineError L501 where it is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        asked = "cuda" if there["cuda"] else "cpu"
    if not there[asked]:
        raise MachineError(
            "L501",
            tr("this machine has no such device"),
            where="training.device",
            received=asked,
            allowed=[name for name, found in there.items() if found],
        )
    return torch.device(asked, ranks()[2]) if asked == "cuda" else torch.device(asked)


def use_threads(asked: int | None) -> int:
    """As many threads as cores this process may use, a container's limit respected; ranks of one machine share them."""
    threads = asked or max(1, cores.allowed() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    torch.set_num_threads(threads)
    return threads


def choose_threads(asked: int | None, task: Any, net: nn.Module, batch: Any) -> int:
    """One thread where a step's products are too small to share, else every allowed core.

    By counting, not timing: the number of threads decides the last bits, and the same run must have the same bits.
    """
    if asked is None:
        twin = copy.deepcopy(net).eval()  # nothing of the run itself may move
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            next(task.losses(twin, batch)) if answers_dearly(task) else task.predict(twin, batch)
        if counter.get_total_flops() < SHARED_FLOPS:
            asked = 1
    return use_threads(asked)


def answers_dearly(task: Any) -> bool:
    """Whether a prediction takes many passes: a loss is one."""
    return isinstance(task, Glances)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bfloat16 products, sums in float32 (Micikevicius et al. 2018); or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def choose_precision(asked: str, task: Any, net: nn.Module, batches: list[Any], device: torch.device) -> tuple[str, str, float | None]:
    """(precision, why, seconds of a step where they were measured): by a few steps of each on a copy of the net, so that the run itself is untouched."""
    lacking = device.type == "cpu" and not cores.multiply_halves()
    if asked != "auto":
        slow = lacking and asked == "bfloat16"
        return asked, tr("asked for; this processor has no products of bfloat16, float32 is faster") if slow else tr("asked for"), None
    if lacking:
        return "float32", tr("this processor has no products of bfloat16"), None
    twin = copy.deepcopy(net).train()
    full = trial(task, twin, batches, device, "float32")
    if full < WORTH_S:
        return "float32", tr("steps of {ms:.1f} ms", ms=full * 1000), full
    half = trial(task, twin, batches, device, "bfloat16")
    if full > GAIN * half:  # a moment in which the machine was busy must not decide
        full = min(full, trial(task, twin, batches, device, "float32"))
    figures = tr("{full:.0f} ms a step in float32, {half:.0f} ms in bfloat16", full=full * 1000, half=half * 1000)
    return ("bfloat16", figures, half) if full > GAIN * half else ("float32", figures, full)


def trial(task: Any, net: nn.Module, batches: list[Any], device: torch.device, precision: str) -> float:
    """Seconds of the fastest forward and backward pass among a few."""
    best, begun = float("inf"), time.perf_counter()
    for round_ in range(4):
        start = time.perf_counter()
        with autocast(device, precision):
            loss = next(task.losses(net, batches[round_ // 2 % len(batches)]))  # each twice: libraries prepare for a shape they meet first
        if not hasattr(loss, "value"):  # a Pool: what it holds stands for the work
            loss.values.float().square().mean().backward()
        elif loss.value.requires_grad:
            loss.value.backward()
        net.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start) if round_ else best
        if time.perf_counter() - begun > TRIAL_S and round_:
            break
    return best
