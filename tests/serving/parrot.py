"""A task that says its prompt again, character by character; it stands in for a language model where none is needed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import polars as pl
from annotated_types import Ge, Le
from torch import nn

from luban.columns import Columns
from luban.serving.app import Service
from luban.serving.watching import Watch


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What may be asked."""

    max_tokens: Annotated[int, Ge(0), Le(1000)] = 5
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config:
    """One column."""

    column: str = "text"
    generation: Generation = field(default_factory=Generation)


class Parrot:
    """Says the prompt again, character by character; stands in for a language model."""

    slow_s = 0.0

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    def encode(self, table: pl.DataFrame) -> Columns:
        cells = table[self.config.column].to_list()
        texts = [cell if isinstance(cell, str) else cell[-1]["content"] for cell in cells]
        return Columns({"text": np.array(texts, object)}, np.arange(len(texts)), np.array([len(text) for text in texts]))

    def collate(self, examples: Columns, draw: Any) -> Any:
        return examples["text"]

    def stream(self, net: nn.Module, batch: Any, draw: Any) -> Iterator[pl.DataFrame]:
        asked, text = self.config.generation, batch[0]
        cut = min((place for stop in asked.stop if (place := text.find(stop)) >= 0), default=len(text))
        for place in range(min(cut, asked.max_tokens)):
            time.sleep(self.slow_s)
            last = place + 1 == min(cut, asked.max_tokens)
            yield pl.DataFrame(
                {"row": [0], "text": [text[place]], "finish": [("stop" if cut <= asked.max_tokens else "length") if last else ""]}
            )


class Vectors(Parrot):
    """Its answers hold vectors."""

    def predict(self, net: nn.Module, batch: Any) -> Any:
        return batch

    def answer(self, prediction: Any) -> pl.DataFrame:
        return pl.DataFrame({"embedding": [[float(len(text)), 0.5] for text in prediction]})


def stand_in(running_: Service, name: str, task: Any, kind: str, examples: list[Any], *, net: Any = None) -> None:
    """Put a task of the tests in the place of a bundle's."""
    hosted = running_.shelf.models[name]
    column = getattr(task.config, "column", None) or task.column
    description = {"task": "toy", "labels": None, "signature": {"inputs": {column: kind}, "target": None}}
    model = SimpleNamespace(
        task=task, net=net or nn.Linear(1, 1), description=description, signature=description["signature"], report={}, fingerprint={}
    )
    hosted.opened = dataclasses.replace(hosted.opened, model=model, examples=examples, watch=Watch(model), mergeable=False)
