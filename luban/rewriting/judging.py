"""What a task of two texts does once it has a batch: losses, answers, marks, what a report shows, and answers piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import nn

from luban.columns import Columns
from luban.draw import Draw
from luban.generating.settings import Search
from luban.language.answering import judged, loss
from luban.rewriting import answering, illustrating, overlap
from luban.rewriting.batch import Answers, Batch
from luban.rewriting.copying import keepable, lost
from luban.rewriting.encoding import AS_LONG, GREEDILY
from luban.rewriting.segmenting import signature
from luban.rewriting.sides import Sides
from luban.rewriting.slicing import slices_of
from luban.task import Loss
from luban.tokenizing import tokenizer
from luban.tokenizing.tokenizer import Tokenizer

LONGER = 1.5  # an answer at most, over the longest that were learnt from
SPARE = 10  # tokens beyond


class Answering:
    """A frozen (config, state); the state holds the tokenizer beside the column of sources, under `adopted` that of answers where it is another."""

    config: Any
    state: Any
    collate: Callable[[Columns, Draw], Batch]

    def __init__(self, config: Any, state: Any = None) -> None:
        self.config, self.state = config, state

    @property
    def metrics(self) -> tuple[str, ...]:
        """Scores of answers, then the loss, then what else the marks tell."""
        first = getattr(self.config, "scores", ())  # a task may be asked before it has settings
        return (*first, "nats_per_token", "kept_share", "sequence_calibration_error")

    @property
    def column(self) -> str:
        """The column of sources."""
        return next(iter(self.config.inputs))

    @property
    def tokenizer(self) -> Tokenizer:
        """Of sources."""
        return self.sides.source

    @property
    def sides(self) -> Sides:
        """As they were fitted, or as the checkpoint brought them."""
        source, adopted = tokenizer.of_spec(self.state["inputs"][self.column]), self.state.get("adopted")
        if adopted is None:
            return Sides(source, source)
        other = adopted["answers"]
        return Sides(source, source if other is None else tokenizer.of_spec(other), tuple(adopted["never"]))

    @property
    def search(self) -> Search:
        """How answers are looked for: as asked, and half as long again as the longest that were learnt from at most."""
        asked, longest = self.config.generation, self.state.get("longest", 0)
        return replace(asked, max_tokens=min(asked.max_tokens, round(LONGER * longest) + SPARE)) if longest else asked

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean -log chance of the targets, smoothed."""
        total, count = loss(net, batch, self.config.label_smoothing)  # type: ignore[arg-type]
        yield Loss(total / max(1, count), count)

    def predict(self, net: nn.Module, batch: Batch) -> Answers:
        """How well the targets are foretold, where they are known, and the answers."""
        found = answering.said(net, batch, self.sides, asked_of(batch, self.search))
        if batch.targets is None or not hasattr(net, "hidden"):
            return found
        nats, count = judged(net, batch)  # type: ignore[arg-type]
        return replace(found, nats=nats.cpu(), known=count.cpu())

    def answer(self, prediction: Answers) -> pl.DataFrame:
        """`text`, `confidence`, `finish`, `alternatives`, what was `lost`, and the `joins` of windows."""
        return answering.frame_of(prediction, self.sides)

    def judge(self, prediction: Answers, batch: Batch) -> dict[str, Any]:
        """Marks of the loss, of the texts set against the targets, and of what slices them."""
        sides, best = self.sides, answering.best_of(prediction)
        texts = [found[0][0] if found else None for found in answering.texts_of(prediction, sides, best)]
        references = illustrating.references_of(batch, sides)
        sources = answering.sources_of(prediction, sides)
        marks: dict[str, Any] = overlap.marks_of(texts, references, self.state["form"])
        marks["confidence"] = answering.confidence_of(prediction).numpy()
        marks["keepable"] = np.array(
            [len(keepable(source)) if text is not None else 0 for source, text in zip(sources, texts, strict=True)]
        )
        marks["kept"] = marks["keepable"] - [
            len(lost(source, text)) if text is not None else 0 for source, text in zip(sources, texts, strict=True)
        ]
        marks["read"] = prediction.read.numpy()
        marks["spelt"] = np.array([longest_word(source, sides.source) for source in sources], np.int64)
        if prediction.nats is not None and prediction.known is not None:
            marks |= {"nats": prediction.nats.numpy(), "tokens": prediction.known.numpy()}
        return marks

    def slices(self, marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
        """By the length of the source, and by whether a word of it is so rare that the vocabulary spells it."""
        yield from slices_of(marks)

    def illustrate(self, net: nn.Module, examples: Columns, marks: Columns) -> dict[str, Any]:
        """The answers least like their references, and for some what each token looked at; answered again, so that nothing of all rows is held."""
        found: dict[str, Any] = {"wrong": []}
        for part, places in (("wrong", illustrating.worst(marks)), ("alignments", illustrating.drawn(marks))):
            if not len(places) or (part == "alignments" and not hasattr(net, "attention")):
                continue
            few = examples.take(places)
            device = next((p.device for p in net.parameters()), torch.device("cpu"))
            batch = self.collate(few, Draw(0, 0, places, training=False)).to(device)
            with torch.inference_mode():
                prediction = self.predict(net, batch)
            if part == "wrong":
                found[part] = illustrating.examples_of(self, prediction, batch, few.row, marks.take(places))
            else:
                found[part] = illustrating.maps(net, prediction, batch, self.sides, few.row, answering.best_of(prediction))
        return found

    def sources(self, prediction: Answers) -> list[str]:
        """The rows' sources as text."""
        return answering.sources_of(prediction, self.sides)

    @property
    def signatures(self) -> dict[str, str]:
        """How each score of an answer is computed."""
        return {name: found for name in self.metrics if (found := signature(name, self.state["form"]))}

    def stream(self, net: nn.Module, batch: Batch, draw: Draw) -> Iterator[pl.DataFrame]:
        """The likeliest text of each source, piece by piece: `row`, `text`, and `finish` once it ends."""
        yield from answering.streamed(net, batch, self.sides, self.search)

    def checked(self) -> Self:
        """The same task as it answers golden rows: the first token and its chance, for the best of several answers may differ by machine."""
        once = replace(self.config.generation, beams=1, best=1, max_tokens=1, min_tokens=0, min_ratio=0.0, keep=0.0)
        return type(self)(replace(self.config, generation=once), self.state)


def asked_of(batch: Batch, settings: Search) -> Search:
    """How this batch is to be answered."""
    if batch.has(GREEDILY):
        settings = replace(settings, beams=1, best=1)
    return replace(settings, max_ratio=max(batch.ratio, 0.01), spare=1) if batch.has(AS_LONG) else settings


def longest_word(source: str, own: Tokenizer) -> int:
    """Tokens of the word that takes most of them."""
    words = source.split()
    return int(own.encode([f" {word}" for word in words]).lengths.max()) if words else 0
