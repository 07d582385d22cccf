"""From examples to predictions, answers and marks, batch by batch, in the order of the rows asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from luban.columns import Columns, Reject
from luban.draw import Draw
from luban.errors import is_out_of_memory
from luban.folding import folded
from luban.layers.attention import Attention
from luban.mapped import empty, folder_of, release
from luban.task import arrange

BATCH, PICTURES = 512, 128  # examples together; of convolutions over pictures fewer, whose maps lie in a cache
FOLDED = 512  # examples from which a net folded for answers is worth its copy
ALLOWANCE = 32_768  # tokens or steps a batch, padding included
PASS, SPREAD = 768, 1.25  # tokens that are worth a pass of their own on a CPU; these with their padding against them alone
PIECE = 16_000_000  # bytes of examples on the disk that are held at once, in their order; similar sizes are looked for among them


def predictions(
    task: Any, net: nn.Module, examples: Columns, *, batch_size: int = BATCH, seed: int = 0
) -> Iterator[tuple[np.ndarray, Any, Any]]:
    """(places, batch, prediction); similar sizes together, nothing dropped; a batch too large for the memory is cut in two."""
    if net.training:  # which a walk through all modules would find out no better, at a price that one row feels
        net.eval()
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    if len(examples) > PICTURES and device.type == "cpu" and any(isinstance(module, nn.Conv2d) for module in net.modules()):
        batch_size = min(batch_size, PICTURES)
    for first, piece in pieces(examples):
        waiting = batches(piece, batch_size, even=len(piece) > 1 and device.type == "cpu" and works_by_token(net))[::-1]
        while waiting:
            places = waiting.pop()
            try:
                with torch.inference_mode():
                    batch = move(task.collate(piece.take(places), Draw(seed, 0, first + places, training=False)), device)
                    prediction = task.predict(net, batch)
            except (RuntimeError, MemoryError) as error:
                if len(places) == 1 or not is_out_of_memory(error):
                    raise
                waiting += np.array_split(places, 2)[::-1]
                continue
            yield first + places, batch, prediction


def pieces(examples: Columns) -> Iterator[tuple[int, Columns]]:
    """(place of the first, examples): all of them, or as many at a time as are held of those on the disk."""
    if not isinstance(examples.row, np.memmap) or not len(examples):
        yield 0, examples
        return
    rows = max(BATCH, int(PIECE / examples.row_bytes))
    for first in range(0, len(examples), rows):
        yield first, examples.piece(first, min(first + rows, len(examples)))


def works_by_token(net: nn.Module) -> bool:
    """Whether a padded token costs what a real one costs, and a pass little beside: attention, and nothing that goes from step to step."""
    kinds = [type(module) for module in net.modules()]
    return Attention in kinds and not any(issubclass(kind, nn.RNNBase | nn.RNNCellBase) for kind in kinds)


def batches(examples: Columns, batch_size: int, *, even: bool = False) -> list[np.ndarray]:
    """All examples in batches of similar sizes; `even`: a batch that is worth a pass takes no larger ones in, which would pad all of it."""
    if examples.size is None:
        return [np.arange(i, min(i + batch_size, len(examples))) for i in range(0, len(examples), batch_size)]
    sizes = np.array(examples.size)
    order, out, start = np.argsort(sizes, kind="stable"), [], 0
    for end in range(1, len(order) + 1):
        full = end - start >= batch_size or (end < len(order) and sizes[order[end]] * (end + 1 - start) > ALLOWANCE)
        if even and not full and end < len(order) and (own := int(sizes[order[start:end]].sum())) >= PASS:
            full = sizes[order[end]] * (end - start) > SPREAD * own
        if full or end == len(order):
            out.append(order[start:end])
            start = end
    return out


def marks_of(task: Any, net: nn.Module, examples: Columns, *, batch_size: int = BATCH) -> Columns:
    """What the metrics need, one row per example, in the examples' order; mapped where the examples are."""
    net = folded(net) if len(examples) >= FOLDED else net
    if isinstance(examples.row, np.memmap) and len(examples):
        return mapped_marks(task, net, examples, batch_size)
    parts, places = [], []
    for place, batch, prediction in predictions(task, net, examples, batch_size=batch_size):
        parts.append(Columns(task.judge(prediction, batch), examples.row[place]))
        places.append(place)
    if not parts:
        return Columns({}, examples.row)
    return Columns.join(parts).take(np.argsort(np.concatenate(places), kind="stable"))


def mapped_marks(task: Any, net: nn.Module, examples: Columns, batch_size: int) -> Columns:
    """The same, each mark in a mapped file of its own."""
    found: dict[str, Any] = {}
    for place, batch, prediction in predictions(task, net, examples, batch_size=batch_size):
        for name, values in task.judge(prediction, batch).items():
            if name not in found:
                found[name] = empty((len(examples), *values.shape[1:]), values.dtype, folder_of(examples.row))
            found[name][place] = values
            release(found[name])
    return Columns(found, examples.row)


def answers_of(
    task: Any, net: nn.Module, table: pl.DataFrame, *, batch_size: int = BATCH
) -> tuple[pl.DataFrame, tuple[Reject, ...], np.ndarray]:
    """Raw rows in, raw answers out; the rows that could not be read; and the table row each answer stands for."""
    columns = task.encode(table)
    answers, row = answers_to(task, net, columns, batch_size=batch_size)
    return answers, columns.rejects, row


def answers_to(task: Any, net: nn.Module, columns: Columns, *, batch_size: int = BATCH) -> tuple[pl.DataFrame, np.ndarray]:
    """The answers to encoded rows, and the table row each stands for."""
    examples = arrange(task, columns, None)
    frames, places = [], []
    for place, _, prediction in predictions(task, net, examples, batch_size=batch_size):
        frames.append(task.answer(prediction))
        places.append(place)
    if not frames:
        return pl.DataFrame(), np.zeros(0, np.int64)
    if len(frames) == 1 and (places[0][1:] > places[0][:-1]).all():
        return frames[0], examples.row
    order = np.argsort(np.concatenate(places), kind="stable")
    return pl.concat(frames)[order], examples.row


def move(batch: Any, device: torch.device) -> Any:
    """The batch's tensors on another device; a no-op where they are."""
    if device.type == "cpu":
        return batch
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if hasattr(batch, "__dataclass_fields__"):
        return type(batch)(**{name: move(getattr(batch, name), device) for name in batch.__dataclass_fields__})
    return batch
