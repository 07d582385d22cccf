"""language_modeling: what follows, token by token, from plain text; continues a prompt.

B batch, T tokens of a row, V tokens known.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Le

from luban import catalog, pretrained
from luban.columns import Columns
from luban.draw import key_of
from luban.errors import DataError, RecipeError
from luban.generating.settings import Generation
from luban.kinds.text import MOST_TOKENS, as_text
from luban.language import decoders
from luban.language.causal import segments_of
from luban.language.packing import Packing, pack
from luban.language.speaking import PROMPT, Batch, Speaking, named
from luban.messages import tr
from luban.scaling import Scaling
from luban.schema import validate
from luban.task import Split, Traits
from luban.tokenizing import tokenizer

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"text-generation": {}, "causal-language-modeling": {}}
BASELINE = "kneser_ney"
DOCUMENT = "document"  # the column by which the reader of plain text joins the pieces of one
WINDOW = "window"
FEW_DOCUMENTS = 20
LEAST = 200  # characters to learn from


class LanguageModeling(Speaking):
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
        num_tokens: Annotated[int, Ge(1)]
        architecture: dict[str, Any] | None

    split = Split(by="random")
    traits = Traits(
        reading={"text": "file"},
        asking={"text": "line"},  # a line of a file of prompts is a prompt
        training={"optimizer": "muon", "schedule": "linear"},
        # Hoffmann et al. 2022, table A3, divided by 14: characters, and what Muon does with few tokens; only the ratio of A and B decides a size
        scaling=Scaling(of_weights=29.0, by_weights=0.34, of_tokens=29.0, by_tokens=0.28),
        of_answers=("generation",),
    )
    metrics = ("bits_per_byte", "nats_per_token", "perplexity")

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
        pretrained.check_speaker(section, f"{where}: model", "gpt")

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, self.state, where="state.json")
        self.check_spec()

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
        corpus = sum(len(text.encode(errors="replace")) for text in texts) + 2 * len(texts)
        if self.config.model.get("pretrained"):
            spec, rest = decoders.adopt(self.config.model)
            return {"inputs": {self.column: spec}, "corpus": corpus, **rest}
        learnt = tokenizer.learn(texts, self.config.tokenizer, self.config.vocabulary)
        return {"inputs": {self.column: learnt.as_spec()}, "corpus": corpus, "num_tokens": learnt.num_tokens, "architecture": None}

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

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Tokens, what follows each, and which of them are of one document."""
        if PROMPT in examples:
            return self.collate_prompts(examples[PROMPT])
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

    def rungs(self) -> tuple[LanguageModeling, ...]:
        """Counts of n-grams first."""
        if self.config.model["kind"] == BASELINE or self.config.model.get("pretrained"):
            return ()  # counts in a vocabulary of fifty thousand tell nothing of a model that read the web
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
