"""Whether a compiled network pays within its training: tried on a copy, measured, said (Ansel et al. 2024, "PyTorch 2")."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

from luban.errors import LubanError, MachineError, is_out_of_memory
from luban.messages import tr

LONG_S = 300.0  # a training shorter than this gains less than a trial takes
SLOW_S = 10.0  # a step; where even such steps are soon over, none is timed
MARGIN = 1.5  # what is saved, over what compiling takes once more


def choose(
    asked: str,
    net: nn.Module,
    device: torch.device,
    tried: Callable[[nn.Module], float],
    plain: float | None,
    left: Callable[[float], float],
) -> tuple[nn.Module | None, str]:
    """(the compiled net, or None to go on without; why, "" where nothing was tried).

    `tried` says the seconds of a step with a copy, `plain` those that are known already, `left` how many are left of the training when a step
    takes so many. Raises MachineError L507 where it was asked for and cannot be.
    """
    if asked == "off":
        return None, ""
    if asked == "on":
        return required(net, device, tried), tr("compiled: asked for")
    if left(SLOW_S) < LONG_S:
        return None, ""
    plain = tried(copy.deepcopy(net).train()) if plain is None else plain
    if left(plain) < LONG_S:
        return None, ""
    begun = time.perf_counter()
    try:
        fast = tried(compiled(copy.deepcopy(net).train(), device))
    except Exception as error:  # noqa: BLE001 whatever a compiler fails with is said, and the run goes on without it
        return None, tr("not compiled: {why}", why=first_line(error))
    took = time.perf_counter() - begun
    figures = tr("{plain:.0f} ms a step, {fast:.0f} ms compiled, {took:.0f} s to compile", plain=plain * 1000, fast=fast * 1000, took=took)
    if (1 - fast / plain) * (left(plain) - took) > MARGIN * took:
        return compiled(net, device), tr("compiled: {figures}", figures=figures)
    return None, tr("not compiled: {why}", why=figures)


def required(net: nn.Module, device: torch.device, tried: Callable[[nn.Module], float]) -> nn.Module:
    """The compiled net, tried on a copy. Raises MachineError L507."""
    try:
        tried(compiled(copy.deepcopy(net).train(), device))
    except Exception as error:
        if isinstance(error, LubanError) or is_out_of_memory(error):  # no fault of the compiler
            raise
        fix = tr('install a C++ compiler, or state compile = "off"')
        what = tr("the network cannot be compiled here: {why}", why=first_line(error))
        raise MachineError("L507", what, where="training.compile", received="on", fix=fix) from error
    return compiled(net, device)


def compiled(net: nn.Module, device: torch.device) -> nn.Module:
    """A twin with the same parameters, compiled for batches of any size when it is first called.

    Blocks that follow each other alike are compiled as one, in a fraction of the time of the whole, and whatever calls them gains.
    """
    import torch._inductor.config as settings

    settings.fallback_random = True  # dropout draws what it draws uncompiled
    if device.type == "cpu":
        settings.compile_threads = 1  # processes that compile side by side would stay, each with its own memory
    twin: nn.Module = copy.deepcopy(net, {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())})
    for part in blocks_of(twin) or [twin]:
        part.compile(dynamic=True)
    return twin


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """All lists of modules of one class and one shape, none of torch's own and none within another; several a list, where there are such."""
    lists = [list(module) for module in net.modules() if isinstance(module, nn.ModuleList | nn.Sequential) and len(module)]
    alike = [blocks for blocks in lists if len({form_of(block) for block in blocks}) == 1 and not of_torch(blocks[0])]
    found: list[nn.Module] = []
    for blocks in [several for several in alike if len(several) > 1] or alike:  # what stands without comes first
        if not any(blocks[0] is part for block in found for part in block.modules()):
            found += blocks
    return found


def form_of(block: nn.Module) -> tuple[object, ...]:
    """Class and shapes."""
    return type(block), *(parameter.shape for parameter in block.parameters())


def of_torch(block: nn.Module) -> bool:
    """Whether it is a single layer, too small to be compiled by itself."""
    return type(block).__module__.startswith("torch.")


def first_line(error: Exception) -> str:
    """What an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
