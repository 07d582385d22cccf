"""Where numbers stopped being finite: the layer, the column, the rows; found by asking the same batch again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.messages import tr
from luban.task import Loss

if TYPE_CHECKING:
    from luban.training.loop import Trainer

SHOWN = 8
ASKED = 256  # rows asked one by one


def diagnose(trainer: Trainer, rows: np.ndarray, epoch: int) -> str:
    """The layer, the column and the rows, in one line; the net is left as it was."""
    task, net = trainer.task, trainer.net
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    batches = trainer.cut(rows, epoch)
    parts = [tr("Layer: {name}.", name=first_bad_layer(task, net, batches))]
    if column := bad_column(task, net, batches):
        parts.append(tr("Column: {name}.", name=column))
    if trainer.examples is not None:
        found = bad_rows(trainer, rows[:ASKED], epoch)
        named = trainer.examples.row[rows if found is None else found].tolist()
        shown = ", ".join(str(row) for row in named[:SHOWN]) + (", …" if len(named) > SHOWN else "")
        parts.append(tr("Rows of the batch: {rows}", rows=shown) if found is None else tr("Rows at fault: {rows}", rows=shown))
    net.load_state_dict(before)
    return " ".join(parts)


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


def is_finite(task: Any, net: nn.Module, batch: Any) -> bool | None:
    """Whether the first loss is; None where the task compares examples, or can't do with this batch."""
    try:
        loss = next(task.losses(net, batch), None)
    except (RuntimeError, ValueError, IndexError):
        return None
    return bool(torch.isfinite(loss.value)) if isinstance(loss, Loss) else None


@torch.no_grad()
def bad_column(task: Any, net: nn.Module, batches: list[Any]) -> str | None:
    """The part of the batch without which the loss is finite: each is set to zero in turn."""
    batch = next((batch for batch in batches if is_finite(task, net, batch) is False), None)
    for name, tensor in tensors(batch):
        kept = tensor.clone()
        tensor.zero_()
        finite = is_finite(task, net, batch)
        tensor.copy_(kept)
        if finite:
            return name
    return None


def tensors(batch: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a batch of nested dictionaries, dataclasses, lists."""
    if isinstance(batch, Tensor):
        yield name, batch
    elif isinstance(batch, dict):
        for key, value in batch.items():
            yield from tensors(value, str(key))
    elif dataclasses.is_dataclass(batch):
        for part in dataclasses.fields(batch):
            yield from tensors(getattr(batch, part.name), part.name)
    elif isinstance(batch, list | tuple):
        for value in batch:
            yield from tensors(value, name)


@torch.no_grad()
def bad_rows(trainer: Trainer, rows: np.ndarray, epoch: int) -> np.ndarray | None:
    """Rows whose loss is not finite by itself; None where all or none are, or the task can't be asked for one row."""
    training = {module: module.training for module in trainer.net.modules()}
    trainer.net.eval()  # normalisation over one row says nothing
    finite = [is_finite(trainer.task, trainer.net, trainer.collate(rows[place : place + 1], epoch)) for place in range(len(rows))]
    for module, was in training.items():
        module.training = was
    bad = np.array([answer is False for answer in finite])
    return rows[bad] if bad.any() and not bad.all() else None
