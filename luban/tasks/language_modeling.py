"""language_modeling: what follows, token by token, from plain text; continues a prompt.

B batch, T tokens of a row, V tokens known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from luban import architecture, catalog, tokenizer
from luban.causal import nats_of, scores, segments_of
from luban.columns import Columns, Ragged
from luban.draw import key_of
from luban.errors import DataError, RecipeError
from luban.generating.settings import Generation
from luban.generating.slots import Answer, check_prompt, generate, stream
from luban.kinds.text import MOST_TOKENS, as_text
from luban.messages import tr
from luban.packing import Packing, pack
from luban.schema import validate
from luban.task import Loss, Split
from luban.tokenizer import Tokenizer

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"text-generation": {}, "causal-language-modeling": {}}
DEFAULT, BASELINE = "gpt", "kneser_ney"
DOCUMENT = "document"  # the column by which the reader of plain text joins the pieces of one
WINDOW, PROMPT = "window", "prompt"
FEW_DOCUMENTS = 20
LEAST = 200  # characters to learn from


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


class LanguageModeling:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn, and how to go on from a prompt."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """The column of text."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        tokenizer: Literal["bpe", "characters"] = "bpe"
        """`bpe`: byte pairs learnt from the training rows; `characters`: one token each. Neither loses anything."""
        vocabulary: Annotated[int, Ge(512), Le(MOST_TOKENS)] = 4096
        """Tokens at most; fewer are made where the training rows are few."""
        packing: Packing = "stream"
        """`stream` cuts all text at every context; `documents` fits whole documents into rows, so that each is seen from its beginning."""
        isolate: bool = True
        """Documents in one row do not see each other."""
        generation: Generation = field(default_factory=Generation)
        """How a prompt is continued."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        corpus: Annotated[int, Ge(0)]

    split = Split(by="random")
    reading: ClassVar[dict[str, Any]] = {"text": "file"}
    asking: ClassVar[dict[str, Any]] = {"text": "line"}  # how a file of prompts is read
    metrics = ("bits_per_byte", "nats_per_token", "perplexity")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L102, L104, L109, L273."""
        if len(config.inputs) > 1:
            what = tr("a language model reads one column of text")
            raise RecipeError("L273", what, where=f"{where}: inputs", received=list(config.inputs))
        for column, section in config.inputs.items():
            catalog.find("kinds", section["kind"], where=f"{where}: inputs.{column}")
            if section["kind"] != "text":
                what = tr("a language model reads one column of text")
                raise RecipeError("L273", what, where=f"{where}: inputs.{column}", received=section["kind"], allowed=["text"])
            if more := [key for key in section if key != "kind"]:
                known = ("tokenizer", "vocabulary")
                raise RecipeError("L104", tr("unknown key"), where=f"{where}: inputs.{column}.{more[0]}", received=more[0], allowed=known)
        section = named(config.model)
        entry = catalog.find("models", section["kind"], where=f"{where}: model.kind")
        if entry.role != "causal":
            good = [found.name for found in catalog.entries("models").values() if found.role == "causal"]
            what = tr("this model is not for this task")
            raise RecipeError("L109", what, where=f"{where}: model.kind", received=entry.name, allowed=good)
        architecture.config_of(section, where=f"{where}: model")

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        where = "state.json"
        state = validate(self.State, self.state, where=where)
        wrong = RecipeError("L123", tr("the state is not that of this recipe"), where=f"{where}: inputs")
        if len(state.inputs) != 1 or state.inputs.keys() != self.config.inputs.keys():
            raise wrong
        spec = state.inputs[self.column]
        if spec.get("kind") != "text":
            raise wrong
        validate(Tokenizer, {key: value for key, value in spec.items() if key != "kind"}, where=f"{where}: {self.column}")
        if spec["form"] == "given":
            raise wrong

    @staticmethod
    def inputs_of(table: pl.DataFrame) -> dict[str, str]:
        """The column of text where the recipe names none: `text`, else the one with the longest texts. Raises DataError L225."""
        texts = [name for name in table.columns if table.schema[name] == pl.String and name != DOCUMENT]
        if not texts:
            raise DataError("L225", tr("no column can be an input"), where="recipe.toml: inputs", fix=tr("name the inputs under [inputs]"))
        lengths = {name: table[name].str.len_chars().mean() or 0 for name in texts}
        return {"text" if "text" in texts else max(texts, key=lambda name: float(lengths[name])): "text"}  # type: ignore[arg-type]

    @staticmethod
    def split_of(table: pl.DataFrame) -> Split:
        """Of many documents whole ones are held out, of few the end of each."""
        if DOCUMENT not in table.columns:
            return Split(by="random")
        return Split(by="random" if table[DOCUMENT].n_unique() >= FEW_DOCUMENTS else "last", group=DOCUMENT)

    @property
    def column(self) -> str:
        """The column of text."""
        return next(iter(self.config.inputs))

    @property
    def tokenizer(self) -> Tokenizer:
        """As it was fitted."""
        return tokenizer.of_spec(self.state["inputs"][self.column])

    @property
    def context(self) -> int:
        """Tokens of a row."""
        return architecture.config_of(named(self.config.model)).context

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """The tokenizer. Raises DataError L210 for a column without text, L270 for a corpus too short to learn from."""
        texts = [text for text in as_text(table[self.column]).to_list() if text]
        if not texts:
            raise DataError("L210", tr("no training row holds any text"), where=self.column, fix=tr("leave the column out of [inputs]"))
        if (length := sum(map(len, texts))) < LEAST:
            fix = tr("give more text: a language model begins to learn at about 100,000 characters")
            raise DataError(
                "L270", tr("the corpus is too short to learn from"), where=self.column, received=length, allowed=[LEAST], fix=fix
            )
        learnt = tokenizer.learn(texts, self.config.tokenizer, self.config.vocabulary)
        corpus = sum(len(text.encode(errors="replace")) for text in texts) + 2 * len(texts)
        return {"inputs": {self.column: learnt.as_spec()}, "corpus": corpus}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Tokens of each row, and a number that rows of one document share."""
        if self.column not in table.columns:
            raise DataError("L201", tr("no such column"), where=f"inputs.{self.column}", received=self.column, allowed=table.columns)
        found = self.tokenizer.encode(as_text(table[self.column]).to_list())
        return Columns({"tokens": found, DOCUMENT: documents(table)}, np.arange(len(table)), np.maximum(found.lengths, 1))

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Rows of text of a context each; where nothing is asked, each row is a prompt. Raises DataError L271, L276."""
        if asked is None:
            return self.prompts(rows["tokens"], rows.row)
        kept = np.flatnonzero(asked)
        tokens, document = rows["tokens"].take(kept), np.asarray(rows[DOCUMENT])[kept]
        document = np.where(document == ALONE, -2 - np.arange(len(document)), document)
        begin, end = self.tokenizer.begin, self.tokenizer.stops[0]
        packed = pack(tokens, document, rows.row[kept], begin=begin, end=end, context=self.context, packing=self.config.packing)
        return Columns({WINDOW: packed.spans}, packed.row, np.maximum(packed.spans.lengths - 1, 1))

    def prompts(self, tokens: Ragged, row: np.ndarray) -> Columns:
        """What stands before an answer: the mark that begins a document, and the row's text. Raises DataError L271, L276."""
        begin = np.array([] if self.tokenizer.begin is None else [self.tokenizer.begin], np.int32)
        length = tokens.lengths + len(begin)
        if self.config.generation.max_tokens:
            for place in range(len(tokens)):
                check_prompt(int(length[place]), self.context, where=tr("row {n}", n=int(row[place])))
        flat = np.insert(tokens.flat().astype(np.int32), np.cumsum(tokens.lengths) - tokens.lengths, begin) if len(begin) else tokens.flat()
        spans = Ragged.of(flat, length)
        spans = replace(spans, lengths=np.minimum(length, self.context))
        return Columns({PROMPT: spans}, row, np.maximum(spans.lengths, 1))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Tokens, what follows each, and which of them are of one document."""
        if PROMPT in examples:
            prompts = examples[PROMPT]
            return Batch(torch.from_numpy(prompts.pad().astype(np.int64)), None, None, None, torch.from_numpy(prompts.lengths))
        spans = examples[WINDOW]
        whole = torch.from_numpy(spans.pad(-1 if spans.values.dtype.kind == "i" else 0).astype(np.int64))  # (B, T + 1)
        lengths = torch.from_numpy(np.asarray(spans.lengths)) - 1
        there = torch.arange(whole.shape[1] - 1) < lengths[:, None]
        own = self.tokenizer
        segments = segments_of(whole, begin=own.begin, end=own.stops[0])  # (B, T + 1)
        targets = whole[:, 1:].where(there & ((segments[:, 1:] == segments[:, :-1]) | (own.begin == own.stops[0])), -1)
        tokens, segments = whole[:, :-1].where(there, 0), segments[:, :-1]
        size = torch.from_numpy(own.sizes)[targets.clamp(min=0)].where(targets >= 0, 0).sum(1)
        return Batch(tokens, targets, segments if self.config.isolate else None, size, lengths)

    def build(self) -> nn.Module:
        """The decoder, or the counts."""
        section = named(self.config.model)
        config = architecture.config_of(section)
        return catalog.load("models", section["kind"])(config, self.tokenizer.num_tokens, self.state["corpus"])

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
        tokens = torch.from_numpy(prompt)[None]
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

    def checked(self) -> LanguageModeling:
        """The same task as it answers golden rows: what a prompt's chance is, for the likeliest of two tokens may differ by machine."""
        return type(self)(replace(self.config, generation=replace(self.config.generation, max_tokens=0)), self.state)

    def rungs(self) -> tuple[LanguageModeling, ...]:
        """Counts of n-grams first."""
        if self.config.model["kind"] == BASELINE:
            return ()
        size = "base" if self.config.tokenizer == "characters" else "small"
        baseline = {"kind": BASELINE, "size": size, "context": self.context}
        sections = [baseline] + ([named(self.config.model)] if self.config.model["kind"] == "auto" else [])
        return tuple(type(self)(replace(self.config, model=section), self.state) for section in sections)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Short tales in two languages, each of which goes on as it began."""
        rng = np.random.default_rng(seed)
        words = (("the cat", "the dog", "a bird"), ("sees", "likes", "finds"), ("the tree", "a fish", "the moon"))
        zh = (("小猫", "小狗", "飞鸟"), ("看见", "喜欢", "找到"), ("大树", "游鱼", "月亮"))
        lines = []
        for row in range(count):
            picks = rng.integers(0, 3, (2 + row % 3, 3))
            lines.append("".join("，".join(["".join(zh[k][p] for k, p in enumerate(pick))]) + "。" for pick in picks) if row % 2 else
                         " ".join(" ".join(words[k][p] for k, p in enumerate(pick)) + "." for pick in picks))  # fmt: skip
        return pl.DataFrame({"text": lines})


ALONE = -1  # a row that is a document by itself


def documents(table: pl.DataFrame) -> np.ndarray:
    """(N,) int64 a number of each row's document, ALONE where the table names none."""
    if DOCUMENT not in table.columns:
        return np.full(len(table), ALONE, np.int64)
    names = table[DOCUMENT].cast(pl.String).fill_null("").to_list()
    number = {name: key_of(name) >> 2 for name in set(names)}
    return np.array([number[name] for name in names], np.int64)


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the decoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
