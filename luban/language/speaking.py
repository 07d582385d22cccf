"""What tasks have in common whose model says what follows: the net, its loss, scoring, and going on from a prompt.

B batch, T tokens of a row, V tokens known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from luban import catalog, pretrained
from luban.columns import Columns, Ragged
from luban.errors import RecipeError
from luban.generating.guessing import Guessing
from luban.generating.slots import Answer, Slots, check_prompt, generate, stream
from luban.language import decoders
from luban.language.causal import nats_of, scores
from luban.messages import tr
from luban.schema import validate
from luban.task import Loss
from luban.tokenizing import tokenizer
from luban.tokenizing.tokenizer import Tokenizer

if TYPE_CHECKING:
    from luban.draw import Draw

DEFAULT = "gpt"
PROMPT = "prompt"
STATE = ("tokenizer", "architecture")


@dataclass(frozen=True)
class Batch:
    """Rows of text with what follows, or prompts to go on from."""

    tokens: Tensor  # (B, T) int64, padded on the right
    targets: Tensor | None  # (B, T) int64 what follows each, -1 = nothing to foretell; None = prompts
    segments: Tensor | None  # (B, T) the document of each token; None = not told apart
    bytes: Tensor | None  # (B,) of the targets as UTF-8
    lengths: Tensor  # (B,) tokens of each row


@dataclass(frozen=True)
class Scored:
    """How well each row was foretold."""

    nats: Tensor  # (B,) float64 sums of -log chance
    tokens: Tensor  # (B,) targets
    bytes: Tensor  # (B,)


class Speaking:
    """A frozen (config, state); the state holds the tokenizer beside the column it reads, and a checkpoint's sizes where there is one."""

    config: Any
    state: Any

    def __init__(self, config: Any, state: Any = None) -> None:
        self.config, self.state = config, state

    @property
    def column(self) -> str:
        """The column that is read."""
        return next(iter(self.config.inputs))

    @property
    def tokenizer(self) -> Tokenizer:
        """As it was fitted."""
        return tokenizer.of_spec(self.state["inputs"][self.column])

    @property
    def settings(self) -> Any:
        """The model's Config: a checkpoint's, or the recipe's."""
        return pretrained.speaker_of(named(self.config.model), (self.state or {}).get("architecture"))

    @property
    def context(self) -> int:
        """Tokens of a row."""
        return int(self.settings.context)

    def check_spec(self) -> None:
        """Refuse a tokenizer that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        where, state = "state.json", self.state
        wrong = RecipeError("L123", tr("the state is not that of this recipe"), where=f"{where}: inputs")
        if len(state["inputs"]) != 1 or state["inputs"].keys() != self.config.inputs.keys():
            raise wrong
        spec = state["inputs"][self.column]
        if spec.get("kind") != self.config.inputs[self.column]["kind"]:
            raise wrong
        found = validate(Tokenizer, {key: value for key, value in spec.items() if key != "kind"}, where=f"{where}: {self.column}")
        given = bool(self.config.model.get("pretrained"))
        if (found.form == "given") != given or (state["architecture"] is not None) != given:
            raise wrong
        tokenizer.check_fits(found, state["num_tokens"], f"{where}: {self.column}")

    def build(self) -> nn.Module:
        """The decoder, or the counts."""
        section = named(self.config.model)
        net = catalog.load("models", section["kind"])(self.settings, self.state["num_tokens"], self.state["corpus"])
        if section.get("pretrained"):
            pretrained.prepare(net, pretrained.adapting(section))
        return net

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        if self.config.model.get("pretrained"):
            decoders.load(net, self.config.model)

    def prompts(self, tokens: Ragged, row: np.ndarray) -> Columns:
        """What stands before an answer: the mark that begins a document, and the row's text. Raises DataError L271, L276."""
        begin = np.array([] if self.tokenizer.begin is None else [self.tokenizer.begin], np.int32)
        length = tokens.lengths + len(begin)
        if self.config.generation.max_tokens:
            for place in range(len(tokens)):
                check_prompt(int(length[place]), self.settings.context, where=tr("row {n}", n=int(row[place])))
        flat = np.insert(tokens.flat().astype(np.int32), np.cumsum(tokens.lengths) - tokens.lengths, begin) if len(begin) else tokens.flat()
        spans = Ragged.of(flat, length)
        spans = replace(spans, lengths=np.minimum(length, self.settings.context))
        return Columns({PROMPT: spans}, row, np.maximum(spans.lengths, 1))

    @staticmethod
    def collate_prompts(prompts: Ragged) -> Batch:
        """Prompts, padded on the right."""
        return Batch(torch.from_numpy(prompts.pad().astype(np.int64)), None, None, None, torch.from_numpy(np.asarray(prompts.lengths)))

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean -log chance of the targets of all rows, whatever rows they stand in."""
        hidden = net.hidden(batch.tokens, segments=batch.segments)  # type: ignore[operator]
        total, count = nats_of(net, hidden, batch.targets)  # type: ignore[arg-type]
        yield Loss(total / max(1, count), count)

    def predict(self, net: nn.Module, batch: Batch) -> Scored | list[Answer]:
        """How well rows are foretold, or how prompts go on."""
        if batch.targets is not None:
            nats, count = scores(net, net.hidden(batch.tokens, segments=batch.segments), batch.targets)  # type: ignore[operator]
            return Scored(nats, count, batch.bytes)  # type: ignore[arg-type]
        prompts = [row[:length].numpy() for row, length in zip(batch.tokens.cpu(), batch.lengths.tolist(), strict=True)]
        if self.config.generation.max_tokens:
            return generate(net, self.tokenizer, prompts, self.config.generation)
        return [self.score_prompt(net, prompt) for prompt in prompts]

    def score_prompt(self, net: nn.Module, prompt: np.ndarray) -> Answer:
        """An answer without a word, its logs those of the prompt."""
        tokens = torch.from_numpy(prompt)[None].to(next((p.device for p in net.parameters()), torch.device("cpu")))
        nats, count = scores(net, net.hidden(tokens[:, :-1]), tokens[:, 1:]) if len(prompt) > 1 else (torch.zeros(1), torch.ones(1))  # type: ignore[operator]
        found = Answer(prompt, self.config.generation, None, finish="length")  # type: ignore[arg-type]
        found.logs = [-float(nats) / float(count)]
        return found

    def answer(self, prediction: Scored | list[Answer]) -> pl.DataFrame:
        """`text` that follows, why it ends (`stop` or `length`), its tokens, and the mean logarithm of their chances."""
        if isinstance(prediction, Scored):
            values = {name: getattr(prediction, name).tolist() for name in ("nats", "tokens", "bytes")}
            return pl.DataFrame(values)
        logs = [sum(found.logs) / max(1, len(found.logs)) for found in prediction]
        columns = {"text": pl.String, "finish": pl.String, "tokens": pl.Int64, "log_chance": pl.Float64}
        rows = [(found.text, found.finish, len(found.tokens), round(log, 4)) for found, log in zip(prediction, logs, strict=True)]
        return pl.DataFrame(rows, schema=columns, orient="row")

    def judge(self, prediction: Scored, batch: Batch) -> dict[str, Any]:
        """Marks of every metric of language models."""
        return {name: getattr(prediction, name).cpu().numpy() for name in ("nats", "tokens", "bytes")}

    def stream(self, net: nn.Module, batch: Batch, draw: Draw) -> Iterator[pl.DataFrame]:
        """The text of each prompt, piece by piece: `row`, `text`, and `finish` once it ends."""
        for place, (row, length) in enumerate(zip(batch.tokens, batch.lengths.tolist(), strict=True)):
            for found in stream(net, self.tokenizer, row[:length].numpy(), self.config.generation):
                yield pl.DataFrame({"row": [place], "text": [found.take()], "finish": [found.finish]})

    def slots(self, net: nn.Module, *, slots: int, capacity: int, kept: int, part: int, guessing: Guessing) -> Slots:
        """Where many answers are said beside each other, `capacity` tokens each at most."""
        return Slots(net, self.tokenizer, slots=slots, capacity=capacity, kept=kept, part=part, guessing=guessing)

    def whole_prompts(self, table: pl.DataFrame) -> list[np.ndarray]:
        """(P,) tokens of each row as a prompt, however long. Raises DataError L201."""
        begin = [] if self.tokenizer.begin is None else [self.tokenizer.begin]
        return [np.concatenate([np.array(begin, np.int64), tokens]) for tokens in self.encode(table)["tokens"]]  # type: ignore[attr-defined]

    def checked(self) -> Self:
        """The same task as it answers golden rows: what a prompt's chance is, for the likeliest of two tokens may differ by machine."""
        return type(self)(replace(self.config, generation=replace(self.config.generation, max_tokens=0)), self.state)


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the decoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
