"""A net's shapes without its weights: built in no time and no memory, however large it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWN = (torch.Tensor.normal_, nn.init.normal_)


class Unfilled(TorchFunctionMode):
    """Nothing is drawn: on the meta device a normal distribution would cost a second of imports."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func in DRAWN:
            return args[0] if args else (kwargs or {})["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def outline(task: Any) -> nn.Module:
    """The task's net on the meta device."""
    with Unfilled(), torch.device("meta"):
        return task.build()
