"""Resident memory: now, at its highest within a block, at its highest so far; and what one step's memory is made of."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.columns import Columns, Ragged

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
EVERY_S = 0.005
before_resets = 0  # the highest that was seen before the kernel's own mark was set back


def marks() -> dict[str, int]:
    """Bytes by the kernel's names: VmRSS now, VmHWM at the highest; empty where it does not say."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def resident() -> int:
    """Bytes this process holds now."""
    return marks().get("VmRSS") or of_usage()


def highest() -> int:
    """Bytes this process held at most, since it began."""
    return max(before_resets, marks().get("VmHWM") or of_usage())


def of_usage() -> int:
    """The same by getrusage, for systems without /proc; it can't be set back."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Peak:
    """The most memory held within the block: by the kernel's mark, or by looking every few milliseconds where that can't be set back."""

    bytes = 0

    def __enter__(self) -> Peak:
        global before_resets
        before_resets = highest()
        self.over, self.watcher = threading.Event(), None
        try:
            RESET.write_text("5", encoding="ascii")
        except OSError:
            self.bytes = resident()
            self.watcher = threading.Thread(target=self.watch, daemon=True)
            self.watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.watcher is None:
            self.bytes = marks().get("VmHWM") or of_usage()
            return
        self.over.set()
        self.watcher.join()

    def watch(self) -> None:
        """Look now and then."""
        while not self.over.wait(EVERY_S):
            self.bytes = max(self.bytes, resident())


@dataclass(frozen=True)
class Parts:
    """Bytes one training step holds, counted from the tensors themselves."""

    weights: int
    gradients: int
    optimizer: int
    copies: int  # the best weights so far, a moving average
    activations: int  # saved for the backward pass of the largest micro-batch
    data: int  # arrays of all splits
    groups: dict[str, int] = field(default_factory=dict)  # activations by the part of the net that saved them

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.copies + self.activations + self.data


def bytes_of(tensors: Any) -> int:
    """Bytes of tensors, shared storage once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def bytes_of_columns(columns: Columns) -> int:
    """Bytes of the arrays of one split."""
    arrays = [columns.row, *([] if columns.size is None else [columns.size])]
    for value in columns.data.values():
        arrays += [value.values, value.starts, value.lengths] if isinstance(value, Ragged) else [np.asarray(value)]
    return sum(array.nbytes for array in arrays)


def optimizer_bytes(groups: list[dict[str, Any]], name: str, momentum: float) -> int:
    """Bytes an optimizer keeps between steps, from its parameter groups."""
    count = 0
    for group in groups:
        of_group = sum(p.numel() * p.element_size() for p in group["params"])
        steps = 4 * len(group["params"])
        if name in ("adamw", "adam") or (name == "muon" and not group["muon"]):
            ages = sum(len(p) for p in group["params"]) if group.get("rows") else 0
            count += 2 * of_group + steps + 4 * ages
        elif name == "muon" or (name == "sgd" and momentum):
            count += of_group
    return count


def activation_bytes(net: nn.Module, inputs: Any, forward: Any) -> tuple[int, dict[str, int]]:
    """Bytes that `forward()` saves for its backward pass, in all and by part of the net; weights and inputs do not count."""
    known = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers(), *tensors_in(inputs)]}
    groups: dict[str, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            groups[place[-1]] = groups.get(place[-1], 0) + storage.nbytes()
            alive.append(tensor)  # a freed address may be given out again
        return tensor

    alive: list[Tensor] = []
    with following(net) as place, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = forward()
    del held
    return sum(groups.values()), groups


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor of a batch."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from tensors_in(getattr(value, name))


@contextmanager
def following(net: nn.Module) -> Iterator[list[str]]:
    """The names of the parts of the net that are at work, the innermost last; two levels deep."""
    place = ["loss"]
    hooks = []
    for name, module in net.named_modules():
        if name and name.count(".") < 2:
            hooks.append(module.register_forward_pre_hook(lambda module, given, name=name: place.append(name)))
            hooks.append(module.register_forward_hook(lambda module, given, out: leave(place), always_call=True))
    try:
        yield place
    finally:
        for hook in hooks:
            hook.remove()


def leave(place: list[str]) -> None:
    """One part is done; nothing is changed."""
    with suppress(IndexError):
        place.pop()
