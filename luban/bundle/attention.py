"""What a transformer attends to: for a row, the tokens it read and, layer by layer, a map of heads by tokens.

T tokens, L layers, H heads. Vaswani et al. 2017, eq. 1: each row of a map is the softmax over what a token may see, of sum 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.columns import Columns
from luban.draw import Draw
from luban.errors import BundleError
from luban.kinds.text import Text
from luban.layers.attention import recorded
from luban.messages import tr
from luban.task import arrange

CELL, GAP, LABEL = 14, 18, 90  # pixels
MOST_DRAWN = 64  # tokens


@dataclass(frozen=True)
class Attention:
    """The maps of one row by one encoder."""

    tokens: list[str]  # T
    maps: np.ndarray  # (L, H, T, T) float32: [l, h, i, j] is how much token i takes from token j

    def draw(self, layer: int = -1) -> str:
        """An SVG of one layer: a panel for each head, a row for each token that asks; long texts from their beginning."""
        count = min(MOST_DRAWN, len(self.tokens))
        heads = self.maps[layer][:, :count, :count]
        side = count * CELL
        panels = [panel(self.tokens[:count], heads[head], LABEL + head * (side + GAP), head) for head in range(len(heads))]
        width, height = LABEL + len(heads) * (side + GAP), side + LABEL + GAP
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="10">{"".join(panels)}</svg>'


def panel(tokens: list[str], map: np.ndarray, left: int, head: int) -> str:
    """One head; the tokens that ask stand beside the first."""
    parts = [f'<text x="{left}" y="12">{escape(tr("head {n}", n=head + 1))}</text>']
    for row, name in enumerate(tokens):
        y = LABEL + row * CELL
        if head == 0:
            parts.append(f'<text x="{left - 4}" y="{y + 11}" text-anchor="end">{escape(name[:14])}</text>')
        x = left + row * CELL + 10
        parts.append(f'<text x="{x}" y="{LABEL - 4}" transform="rotate(-60 {x} {LABEL - 4})">{escape(name[:14])}</text>')
        parts += [
            f'<rect x="{left + column * CELL}" y="{y}" width="{CELL}" height="{CELL}" fill="#1f5fa8" fill-opacity="{share:.2f}"/>'
            for column, share in enumerate(map[row])
            if share >= 0.005
        ]
    return "".join(parts)


def attention(task: Any, net: nn.Module, examples: Columns) -> list[Attention]:
    """The maps of each example. Raises BundleError L445 for a net without attention."""
    found = []
    for place in range(len(examples)):
        rows = np.array([place])
        batch = task.collate(examples.take(rows), Draw(0, 0, rows, training=False))
        with torch.inference_mode(), recorded(net.eval()) as maps:
            if is_causal(net, batch):
                net.hidden(batch.tokens)  # type: ignore[operator]
            else:
                task.predict(net, batch)
        if not maps:
            fix = tr("train a model of attention: {names}", names="bert, transformer, gpt")
            raise BundleError("L445", tr("this model has no attention to show"), fix=fix)
        length = maps[0].shape[-1]
        alike = [one[0].float().numpy() for one in maps if one.shape[-2:] == (length, length)]
        found.append(Attention(names_of(task, net, batch, length), np.stack(alike)))
    return found


def is_causal(net: nn.Module, batch: Any) -> bool:
    """Whether the batch is one of running text."""
    return isinstance(getattr(batch, "tokens", None), Tensor) and hasattr(net, "hidden")


def names_of(task: Any, net: nn.Module, batch: Any, length: int) -> list[str]:
    """What each token is called; a step of a series by its number."""
    if is_causal(net, batch):
        return [task.tokenizer.decode([number]) for number in batch.tokens[0].tolist()]
    specs = (task.state or {}).get("inputs", {})
    for module in net.modules():
        reads = getattr(module, "columns", None)
        if not isinstance(reads, list) or not reads or specs.get(reads[0], {}).get("kind") != "text" or not hasattr(module, "tokens"):
            continue
        tokens, _ = module.tokens(batch.inputs)  # type: ignore[operator]
        if tokens.shape[1] == length:
            return Text.names(tokens[0].tolist(), specs[reads[0]])
    return [str(number + 1) for number in range(length)]


def attention_of(task: Any, net: nn.Module, table: Any) -> list[Attention]:
    """The maps of each row of a table."""
    return attention(task, net, arrange(task, task.encode(table), None))
