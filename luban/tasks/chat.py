"""chat: answers in a conversation, learnt from conversations, from prompts with responses, or from better and worse answers.

B batch, T tokens of a row. Preferences: Rafailov et al. 2023, eq. 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban import catalog, pretrained
from luban.columns import Columns, Ragged, Reject
from luban.errors import DataError, LubanError, RecipeError
from luban.generating.settings import Generation
from luban.kinds.text import MOST_TOKENS
from luban.language import decoders
from luban.language.causal import scores
from luban.language.conversations import ASSISTANT, Scribe, turns_of
from luban.language.speaking import PROMPT, Batch, Scored, Speaking, named
from luban.language.template import Template
from luban.layers import lora
from luban.messages import tr
from luban.schema import validate
from luban.task import Loss, Split, Traits
from luban.tokenizing import tokenizer

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"instruction-tuning": {}, "preference-tuning": {}}
BETTER, WORSE = "better", "worse"
PROMPTS, RESPONSES = ("messages", "conversations", "prompt", "instruction", "question"), ("response", "completion", "output", "answer")


@dataclass(frozen=True)
class Pairs:
    """Better answers, and worse ones to the same prompts."""

    better: Batch
    worse: Batch


class Chat(Speaking):
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn, and how to answer."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """The column of conversations or prompts."""
        target: str = ""
        """The column of responses, where conversations do not hold them."""
        worse: str = ""
        """A column of worse responses to the same prompts: the model learns to prefer the target (DPO); it asks for adapt = "lora"."""
        beta: Annotated[float, Gt(0), Le(100)] = 0.1
        """How dear it is to move away from the model as it was, of preferences."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        template: Template | None = None
        """How a conversation is written; left out, as the checkpoint has it, or `<|im_start|>role` … `<|im_end|>`."""
        tokenizer: Literal["bpe", "characters"] = "bpe"
        """As for language models; of a checkpoint its own."""
        vocabulary: Annotated[int, Ge(512), Le(MOST_TOKENS)] = 4096
        """Tokens at most."""
        context: Annotated[int, Ge(0), Le(1_048_576)] = 0
        """Longer conversations are left out and listed; 0 = as long as the model reads, 1024 at most."""
        generation: Generation = field(default_factory=Generation)
        """How it answers."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        corpus: Annotated[int, Ge(0)]
        num_tokens: Annotated[int, Ge(1)]
        architecture: dict[str, Any] | None

    split = Split(by="random")
    metrics = ("nats_per_token", "perplexity", "bits_per_byte")
    traits = Traits(converses=True, of_answers=("generation",))

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L104 … L112, L128, L129, L273, L278."""
        if len(config.inputs) > 1 or any(section["kind"] != "text" for section in config.inputs.values()):
            for column, section in config.inputs.items():
                catalog.find("kinds", section["kind"], where=f"{where}: inputs.{column}")
            what = tr("a conversation stands in one column of text")
            raise RecipeError("L273", what, where=f"{where}: inputs", received=list(config.inputs))
        for column, section in config.inputs.items():
            if more := [key for key in section if key != "kind"]:
                raise RecipeError(
                    "L104", tr("unknown key"), where=f"{where}: inputs.{column}.{more[0]}", received=more[0], allowed=["kind"]
                )
        section = named(config.model)
        entry = catalog.find("models", section["kind"], where=f"{where}: model.kind")
        if entry.role != "causal" or hasattr(catalog.load("models", entry.name), "solve"):
            what = tr("this model is not for this task")
            raise RecipeError("L109", what, where=f"{where}: model.kind", received=entry.name, allowed=["gpt"])
        pretrained.check_speaker(section, f"{where}: model", "gpt")
        if config.worse and (not config.target or config.model.get("adapt") != "lora"):
            what, fix = tr("preferences ask for a target and for adapters beside the model"), 'target = "chosen", [model] adapt = "lora"'
            raise RecipeError("L278", what, where=f"{where}: task.worse", received=config.worse, fix=fix)

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, self.state, where="state.json")
        self.check_spec()

    @staticmethod
    def inputs_of(table: pl.DataFrame) -> dict[str, str]:
        """The column of conversations where the recipe names none. Raises DataError L225."""
        for name in PROMPTS:
            if name in table.columns:
                return {name: "text"}
        fix = tr("name it: {example}", example='[inputs] question = "text"')
        raise DataError("L225", tr("no column can be an input"), where="recipe.toml: inputs", allowed=PROMPTS, fix=fix)

    @property
    def beside(self) -> dict[str, str]:
        """The column of worse answers."""
        return {self.config.worse: ""} if self.config.worse else {}

    @property
    def context(self) -> int:
        """Tokens of a conversation at most."""
        return int(self.config.context or min(1024, self.settings.context))

    @property
    def scribe(self) -> Scribe:
        """How conversations become tokens."""
        own = self.tokenizer
        return Scribe(own, own.template or Template())

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """Tokenizer and template. Raises DataError L201, L210, L270, BundleError L430 … L442."""
        texts = []
        for row in self.rows(table, self.target_of(table)):
            if isinstance(row, LubanError):
                continue  # listed when the rows are encoded
            texts += [turn["content"] for turn in row if isinstance(turn, Mapping) and isinstance(turn.get("content"), str)]
        if not any(texts):
            raise DataError("L210", tr("no training row holds any text"), where=self.column, fix=tr("give each turn role and content"))
        corpus = sum(len(text.encode(errors="replace")) + 64 for text in texts)
        if self.config.model.get("pretrained"):
            spec, rest = decoders.adopt(self.config.model)
        else:
            learnt = tokenizer.learn([*texts, (self.config.template or Template()).opening], self.config.tokenizer, self.config.vocabulary)
            spec, rest = learnt.as_spec(), {"num_tokens": learnt.num_tokens, "architecture": None}
        template = self.config.template or (Template(**spec["template"]) if spec["template"] else Template())
        spec["template"] = asdict(template)
        Scribe(tokenizer.of_spec(spec), template).stop  # noqa: B018 raises where nothing would ever stop
        stop = Scribe(tokenizer.of_spec(spec), template).stop
        spec["stops"] = [stop, *(id for id in spec["stops"] if id != stop)]
        return {"inputs": {self.column: spec}, "corpus": corpus, **rest}

    def target_of(self, table: pl.DataFrame) -> str:
        """The column of responses: as the recipe has it, or by its name beside prompts; "" where conversations hold them."""
        if self.config.target or self.column in PROMPTS[:2]:
            return self.config.target
        return next((name for name in RESPONSES if name in table.columns), "")

    def rows(self, table: pl.DataFrame, target: str) -> Iterator[Any]:
        """The turns of each row; a row at fault is an error that says why, not raised."""
        if self.column not in table.columns:
            raise DataError("L201", tr("no such column"), where=f"inputs.{self.column}", received=self.column, allowed=table.columns)
        answers = table[target].to_list() if target in table.columns else [None] * len(table)
        for cell, said in zip(table[self.column].to_list(), answers, strict=True):
            try:
                turns = turns_of(cell, self.column)
                yield turns if said is None else [*turns, {"role": ASSISTANT, "content": said}]
            except LubanError as error:
                yield error

    def encode(self, table: pl.DataFrame) -> Columns:
        """Tokens of each conversation and which of them are learnt, its prompt, and a worse answer where there is one; faults are listed."""
        better = [self.written(row) for row in self.rows(table, self.target_of(table))]
        names = [BETTER]
        parts = [better]
        if self.config.worse and self.config.worse in table.columns:
            names, parts = [BETTER, WORSE], [better, [self.written(row) for row in self.rows(table, self.config.worse)]]
        faults = {row: found for part in parts[::-1] for row, found in enumerate(part) if isinstance(found, str)}
        kept = np.array([row for row in range(len(table)) if row not in faults], np.int64)
        data: dict[str, Any] = {}
        for name, part in zip(names, parts, strict=True):
            good: list[Any] = [part[row] for row in kept]
            lengths = [len(tokens) for tokens, _, _ in good]
            data[name] = Ragged.of(np.array([t for tokens, _, _ in good for t in tokens], np.int32), lengths)
            data[f"{name} learnt"] = Ragged.of(np.array([flag for _, learnt, _ in good for flag in learnt], np.uint8), lengths)
        prompts: list[Any] = [better[row][2] for row in kept]
        data[PROMPT] = Ragged.of(np.array([t for prompt in prompts for t in prompt], np.int32), [len(prompt) for prompt in prompts])
        rejects = tuple(Reject(row, self.column, faults[row], str(table[self.column][row])[:80]) for row in sorted(faults))
        return Columns(data, kept, np.maximum(data[BETTER].lengths, 1), rejects)

    def written(self, row: Any) -> tuple[list[int], list[bool], list[int]] | str:
        """Tokens, which of them are learnt, and the prompt; or why there are none."""
        if isinstance(row, LubanError):
            return row.what
        try:
            tokens, learnt = self.scribe.whole(row, self.column)
            prompt = self.scribe.prompt(row, self.column)
        except DataError as error:
            return f"{error.code} {error.what}: {error.received!r}"
        if len(tokens) > self.context + 1:
            return tr("{n} tokens, more than the context of {most}", n=len(tokens), most=self.context)
        return tokens, learnt, prompt

    def whole_prompts(self, table: pl.DataFrame) -> list[np.ndarray]:
        """(P,) tokens of each conversation as far as it went, however long. Raises DataError L201, L274, L275."""
        out = []
        for row in self.rows(table, ""):
            if isinstance(row, LubanError):
                raise row
            out.append(np.array(self.scribe.prompt(row, self.column), np.int64))
        return out

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Conversations that hold an answer; where nothing is asked, the prompt of each."""
        if asked is None:
            spans = rows[PROMPT]
            most = self.settings.context - 1
            cut = np.maximum(0, spans.lengths - most)  # the latest turns count
            return Columns({PROMPT: Ragged(spans.values, spans.starts + cut, spans.lengths - cut)}, rows.row, np.maximum(spans.lengths, 1))
        flags = rows[f"{BETTER} learnt"]
        owner, _ = flags.places()
        answers = np.bincount(owner, flags.flat(), minlength=len(flags)) > 0
        kept = rows.take(np.flatnonzero(asked & answers))
        return replace(kept, data={name: value for name, value in kept.data.items() if name != PROMPT})

    def collate(self, examples: Columns, draw: Draw) -> Batch | Pairs:
        """Rows, padded on the right."""
        if PROMPT in examples:
            return self.collate_prompts(examples[PROMPT])
        better = self.rows_of(examples[BETTER], examples[f"{BETTER} learnt"])
        if WORSE not in examples or not draw.training:
            return better
        return Pairs(better, self.rows_of(examples[WORSE], examples[f"{WORSE} learnt"]))

    def rows_of(self, spans: Ragged, learnt: Ragged) -> Batch:
        """What follows each token, where it is learnt."""
        whole, flags = torch.from_numpy(spans.pad().astype(np.int64)), torch.from_numpy(learnt.pad().astype(bool))
        targets = whole[:, 1:].where(flags[:, 1:], -1)
        size = torch.from_numpy(self.tokenizer.sizes)[targets.clamp(min=0)].where(targets >= 0, 0).sum(1)
        return Batch(whole[:, :-1], targets, None, size, torch.from_numpy(np.asarray(spans.lengths)) - 1)

    def losses(self, net: nn.Module, batch: Batch | Pairs) -> Iterator[Loss]:
        """Mean -log chance of the answers' tokens; of pairs, -log σ(β·(gain of the better - gain of the worse))."""
        if isinstance(batch, Batch):
            yield from super().losses(net, batch)
            return
        with torch.no_grad(), lora.without(net):
            before = [likely(net, rows) for rows in (batch.better, batch.worse)]
        better, worse = (likely(net, rows) - old for rows, old in zip((batch.better, batch.worse), before, strict=True))
        yield Loss(-F.logsigmoid(self.config.beta * (better - worse)).mean(), len(better))

    def predict(self, net: nn.Module, batch: Any) -> Any:
        """How well answers are foretold, or answers."""
        return super().predict(net, batch.better if isinstance(batch, Pairs) else batch)

    def judge(self, prediction: Scored, batch: Any) -> dict[str, Any]:
        """Marks of every metric of language models."""
        return super().judge(prediction, batch.better if isinstance(batch, Pairs) else batch)

    def rungs(self) -> tuple[Chat, ...]:
        """The decoder alone: counts hold no conversation."""
        return (
            (type(self)(replace(self.config, model=named(self.config.model)), self.state),) if self.config.model["kind"] == "auto" else ()
        )

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Sums of two digits, asked in two languages."""
        picks = np.random.default_rng(seed).integers(0, 5, (count, 2)).tolist()
        asked = [f"{a} plus {b}?" if row % 2 else f"{a} 加 {b}？" for row, (a, b) in enumerate(picks)]
        return pl.DataFrame({"prompt": asked, "response": [f"{a + b}." if row % 2 else f"{a + b}。" for row, (a, b) in enumerate(picks)]})


def likely(net: nn.Module, batch: Batch) -> Tensor:
    """(B,) logarithm of the chance of each row's answers."""
    nats, _ = scores(net, net.hidden(batch.tokens, segments=None), batch.targets)  # type: ignore[operator,arg-type]
    return -nats
