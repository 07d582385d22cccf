"""Where numbers stopped being finite: the layer, from a forward pass over the same batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luban.errors import TrainingError
from luban.messages import tr


def diagnose(task: Any, net: nn.Module, batches: list[Any], *, step: int, rows: list[int], loss: float) -> TrainingError:
    """An error that names the first layer whose weights or outputs are not finite, and the batch's rows."""
    shown = ", ".join(str(row) for row in rows[:8]) + (", …" if len(rows) > 8 else "")
    what = tr(
        "step {step}: the loss is {loss}; caught before the update. Layer: {layer}",
        step=step,
        loss=loss,
        layer=first_bad_layer(task, net, batches),
    )
    fix = tr("lower training.learning_rate, scale the inputs, or set training.clip_norm; rows of the batch: {rows}", rows=shown)
    return TrainingError("L301", what, where="training", fix=fix)


def first_bad_layer(task: Any, net: nn.Module, batches: list[Any]) -> str:
    """Weights that are not finite come first, then the first output that is not, then the largest output."""
    for name, parameter in net.named_parameters():
        if not torch.isfinite(parameter).all():
            return tr("{name} (weights)", name=name)
    names = {module: name for name, module in net.named_modules() if not list(module.children())}
    bad: list[str] = []
    largest = {"": 0.0}

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            top = float(output.detach().abs().max()) if output.numel() else 0.0
            if not torch.isfinite(output).all():
                bad.append(names[module])
            largest[names[module]] = max(largest.get(names[module], 0.0), top)

    hooks = [module.register_forward_hook(watch) for module in names]
    for batch in batches:
        next(task.losses(net, batch), None)
    for hook in hooks:
        hook.remove()
    if bad:
        return tr("{name} (outputs)", name=bad[0])
    name = max(largest, key=lambda key: largest[key])
    return tr("{name} (largest outputs, {value:.3g})", name=name, value=largest[name])
