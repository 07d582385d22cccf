"""text_to_text: a text for a text, learnt from pairs: translation, summaries, any rewriting.

B rows, S tokens of a source, T of an answer, V tokens known. A tag before the source says which language is asked for (Johnson et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Le, Lt
from torch import nn

from luban import catalog, pretrained
from luban.columns import Columns, Ragged
from luban.draw import Draw, key_of, mix
from luban.errors import DataError, RecipeError
from luban.generating.settings import Search
from luban.kinds.text import MOST_TOKENS
from luban.language import translators
from luban.messages import tr
from luban.rewriting.batch import Batch, of_ragged
from luban.rewriting.encoding import AS_LONG, ASKED, DECODE, GREEDILY, HAS, NO_TAG, SOURCE, TAG, TARGET, encode, marked
from luban.rewriting.judging import Answering
from luban.rewriting.segmenting import form_of
from luban.rewriting.sides import longest_of, spaced
from luban.rewriting.windows import begins_of, cut, ends_of
from luban.roles import Vocabulary
from luban.schema import validate
from luban.task import Split, Traits
from luban.tokenizing import tokenizer
from luban.tokenizing.tokenizer import Tokenizer, check_fits

ALIASES = {
    "translation": {"baselines": ["word_table"]},
    "machine-translation": {"baselines": ["word_table"]},
    "summarization": {"baselines": ["lead"], "long": "cut", "scores": ["rouge_1", "rouge_2", "rouge_l"]},
}
DEFAULT = "encoder_decoder"
ROLES = ("seq2seq", "rewriter")
SOURCES = ("source", "src", "text", "document", "article", "description", "en", "input")
TARGETS = ("target", "tgt", "translation", "summary", "synopsis", "headline", "output", "zh", "fr", "de")
LEAST_PAIRS = 2
LOSSES = ("nats_per_token", "perplexity")  # metrics that ask for no answer
LAST = 5  # times as many validation rows are answered once the network has learnt


class TextToText(Answering):
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn, and how to answer."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """The column of sources."""
        target: str = ""
        """The column of answers."""
        language: str = ""
        """A column that says in which language each row is to be answered: a tag before the source, so that one model knows several. A checkpoint
        must have a mark for each: `fra` asks a Marian of many languages by `>>fra<<`."""
        prefix: str = ""
        """Stands before every source, in each window: what a T5 was told to do, such as `translate English to German: `."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        tokenizer: Literal["bpe", "words", "characters", "symbols"] = "bpe"
        """Learnt from both sides of the training rows, one vocabulary for both; `words` spells the rare ones by their bytes, `symbols` are what stands
        between spaces, and a row with another one is left out. Of a checkpoint its own is taken."""
        vocabulary: Annotated[int, Ge(512), Le(MOST_TOKENS)] = 8192
        """Tokens at most; fewer are made where the training rows are few."""
        context: Annotated[int, Ge(0), Le(1_048_576)] = 0
        """Tokens of a source and of an answer; 0 = as many as the model reads."""
        long: Literal["windows", "cut"] = "windows"
        """A source beyond the context is answered in `windows` that end where sentences do, or `cut` to its beginning; in training such pairs are left out
        and listed, or cut."""
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.1
        """Share of each target spread over all tokens (Szegedy et al. 2016, section 7)."""
        decoded: Annotated[int, Ge(1), Le(1_000_000)] = 200
        """Validation rows that are answered each time the network is judged while it learns, the same each time and by the likeliest token; where a test
        split follows, five times as many are answered at last, as `generation` says."""
        scores: tuple[Literal["chrf", "bleu", "chrf_plus_plus", "rouge_1", "rouge_2", "rouge_l"], ...] = ("chrf", "bleu")
        """Metrics of answers, the first one chooses the checkpoint unless `evaluation.metrics` says otherwise."""
        segmentation: Literal["auto", "13a", "zh"] = "auto"
        """How BLEU cuts words: sacreBLEU's `13a`, or `zh`; `auto` = `zh` where half of the training targets' characters are Han."""
        baselines: tuple[Literal["copy_source", "lead", "word_table"], ...] = ("copy_source",)
        """What the network is shown beside: the source itself, its first words, or words looked up in a table."""
        generation: Search = field(default_factory=lambda: Search(keep=2.0, max_tokens=1024, max_ratio=3.0))
        """How answers are looked for."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        corpus: Annotated[int, Ge(0)]
        num_tokens: Annotated[int, Ge(1)]
        tags: list[str]
        form: Literal["13a", "zh"]
        adopted: translators.Adopted | None = None
        longest: Annotated[int, Ge(0)] = 0  # tokens of the longest training targets; 0 = unknown

    split = Split(by="random")
    traits = Traits(of_answers=("generation",), of_networks=("label_smoothing",))

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L102, L104, L109, L128, L129, L170."""
        for column, section in config.inputs.items():
            catalog.find("kinds", section["kind"], where=f"{where}: inputs.{column}")
            if section["kind"] != "text" or len(config.inputs) > 1:
                what = tr("sources stand in one column of text")
                raise RecipeError("L170", what, where=f"{where}: inputs.{column}", received=section["kind"], allowed=["text"])
            if more := [key for key in section if key != "kind"]:
                known = ("tokenizer", "vocabulary")
                raise RecipeError("L104", tr("unknown key"), where=f"{where}: inputs.{column}.{more[0]}", received=more[0], allowed=known)
        section = named(config.model)
        entry = catalog.find("models", section["kind"], where=f"{where}: model.kind")
        if entry.role not in ROLES:
            good = [found.name for found in catalog.entries("models").values() if found.role in ROLES]
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=entry.name, allowed=good
            )
        pretrained.check_speaker(section, f"{where}: model", DEFAULT)
        if section.get("pretrained"):
            for key in ("tokenizer", "vocabulary"):
                if (said := getattr(config, key)) != getattr(type(config), key):
                    what, fix = tr("with a checkpoint this is the checkpoint's"), tr("leave it out")
                    raise RecipeError("L129", what, where=f"{where}: task.{key}", received=said, fix=fix)

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123, L272."""
        validate(self.State, self.state, where="state.json")
        wrong = RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
        if self.state["inputs"].keys() != self.config.inputs.keys() or len(self.state["inputs"]) != 1:
            raise wrong
        spec, adopted, tags = self.state["inputs"][self.column], self.state.get("adopted"), self.state["tags"]
        found = [tokenizer_of(one, f"state.json: {self.column}") for one in (spec, (adopted or {}).get("answers")) if one is not None]
        if adopted is None:
            fits = found[0].form != "given" and self.state["num_tokens"] == found[0].num_tokens + len(tags)
        else:
            ids = (*adopted["never"], *adopted["tags"])
            fits = all(one.form == "given" for one in found) and all(0 <= id < self.state["num_tokens"] for id in ids)
            fits = fits and len(adopted["tags"]) == len(tags)
            for one in found:
                check_fits(one, self.state["num_tokens"], f"state.json: {self.column}")
        if spec.get("kind") != "text" or not fits or (adopted is None and self.config.model.get("pretrained")):
            raise wrong

    def inputs_of(self, table: pl.DataFrame) -> dict[str, str]:
        """The column of sources where the recipe names none. Raises DataError L225."""
        texts = [
            name for name in table.columns if table.schema[name] == pl.String and name not in (self.config.target, self.config.language)
        ]
        for name in (*(name for name in SOURCES if name in texts), *(name for name in texts if name not in TARGETS), *texts):
            return {name: "text"}
        fix = tr("name it: {example}", example='[inputs] source = "text"')
        raise DataError("L225", tr("no column can be an input"), where="recipe.toml: inputs", allowed=SOURCES, fix=fix)

    def target_of(self, table: pl.DataFrame) -> str:
        """The column of answers where the recipe names none: by its name, else the only other text."""
        away = (*(self.config.inputs or self.inputs_of(table)), self.config.language)
        texts = [name for name in table.columns if table.schema[name] == pl.String and name not in away]
        return next((name for name in TARGETS if name in texts), texts[0] if len(texts) == 1 else "")

    @property
    def beside(self) -> dict[str, str]:
        """The column of languages: a question says in which it is to be answered."""
        return {self.config.language: "category"} if self.config.language else {}

    @property
    def settings(self) -> Any:
        """The model's Config: a checkpoint's, or the recipe's."""
        adopted = (self.state or {}).get("adopted") or {}
        return pretrained.speaker_of(named(self.config.model), adopted.get("architecture"))

    @property
    def context(self) -> int:
        """Tokens of a source with its marks, and of an answer with what begins it."""
        most = getattr(self.settings, "context", 0)
        return min(self.config.context or most or 256, most or 1_048_576)

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """One vocabulary for both sides, or a checkpoint's, and the tags. Raises DataError L201, L299, L682, BundleError L430 … L442."""
        for name, said in ((self.column, "inputs"), (self.config.target, "target"), *((name, "task.language") for name in self.beside)):
            if name not in table.columns:
                raise DataError("L201", tr("no such column"), where=f"recipe.toml: {said}", received=name, allowed=table.columns)
        pairs = table.select(pl.col(self.column, self.config.target).cast(pl.String).str.strip_chars())
        pairs = pairs.filter((pl.col(self.column) != "") & (pl.col(self.config.target) != ""))
        if len(pairs) < LEAST_PAIRS:
            fix = tr("give rows that hold both texts: thousands, where words are to be learnt")
            raise DataError("L299", tr("there are too few pairs to learn from"), where=self.config.target, received=len(pairs), fix=fix)
        left, right = pairs[self.column].to_list(), pairs[self.config.target].to_list()
        tags = sorted(set(table[self.config.language].drop_nulls().cast(pl.String).to_list())) if self.config.language else []
        corpus = sum(len(text.encode(errors="replace")) + 1 for text in right)
        form = form_of(right) if self.config.segmentation == "auto" else self.config.segmentation
        known = {"corpus": corpus, "tags": tags, "form": form}
        if self.config.model.get("pretrained"):
            spec, rest = translators.adopt(named(self.config.model), tags)
            state = {"inputs": {self.column: spec}, **known, **rest}
        else:
            learnt = tokenizer.learn([spaced(text) for text in (*left, *right)], self.config.tokenizer, self.config.vocabulary)
            state = {"inputs": {self.column: learnt.as_spec()}, **known, "num_tokens": learnt.num_tokens + len(tags), "adopted": None}
        return state | {"longest": longest_of(right, type(self)(self.config, state).sides)}

    @property
    def before(self) -> np.ndarray:
        """(P,) tokens that stand before every source."""
        if not self.config.prefix:
            return np.zeros(0, np.int32)
        return self.sides.source.encode([self.sides.written(self.config.prefix)]).flat()

    @property
    def tags(self) -> np.ndarray:
        """(L,) the token that asks for each language: a checkpoint's own, else those behind all others."""
        if self.config.model.get("pretrained"):
            return np.array(self.state["adopted"]["tags"], np.int64)
        return self.sides.special + np.arange(len(self.state["tags"]))

    @property
    def room(self) -> tuple[int, int]:
        """Tokens that a source and a target may have: marks take a place each, and so does what stands before. Raises RecipeError L683."""
        room = self.context - 1 - bool(self.state["tags"]) - len(self.before)
        if room < 1:
            what, fix = tr("what stands before every source leaves no room for it"), tr("shorten it, or give the model more context")
            raise RecipeError(
                "L683", what, where="recipe.toml: task.prefix", received=len(self.before), allowed=[f"< {self.context - 1}"], fix=fix
            )
        return room, self.context - 1

    def encode(self, table: pl.DataFrame) -> Columns:
        """Tokens of both sides; an empty one, an unknown language or a pair beyond the context is listed."""
        if self.column not in table.columns:
            raise DataError("L201", tr("no such column"), where=f"inputs.{self.column}", received=self.column, allowed=table.columns)
        if self.config.language and self.config.language not in table.columns:
            raise DataError("L201", tr("no such column"), where="task.language", received=self.config.language, allowed=table.columns)
        room = (self.room[0] if self.config.long == "windows" else 0, self.room[1])
        return encode(table, self.sides, (self.column, self.config.target, self.config.language), self.state["tags"], room)

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Pairs with a target; where nothing is asked, every source."""
        if asked is not None:
            return rows.take(np.flatnonzero(asked & (np.asarray(rows[HAS]) > 0)))
        data = {name: value for name, value in rows.data.items() if name in (SOURCE, TAG)}
        return Columns(data, rows.row, np.maximum(1, rows[SOURCE].lengths))

    def glance(self, examples: Columns, metric: str, *, last: bool) -> Columns:
        """A sample, answered greedily between the steps and as asked at last; a loss asks for no answer and is of all."""
        if metric in LOSSES and not last:
            return marked(examples, 0)
        most = LAST * self.config.decoded if last else self.config.decoded
        order = np.argsort(mix(np.asarray(examples.row).astype(np.uint64) ^ np.uint64(key_of(0, "glance"))), kind="stable")
        return marked(examples.take(np.sort(order[:most])), ASKED if last else ASKED | GREEDILY)

    def as_learnt(self, examples: Columns) -> Columns:
        """Answers as long as the targets are, about."""
        return marked(examples, np.asarray(examples[DECODE]) | AS_LONG)

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Sources in windows behind their tags, and the targets where they are known."""
        sides, before, tags = self.sides, self.before, np.asarray(examples[TAG])
        spans = self.windows(examples[SOURCE])
        asked = np.append(self.tags, NO_TAG)[tags]  # (B,) the token of each row's tag; NO_TAG is the last place
        leads = [np.concatenate([[token] if token != NO_TAG else [], before]) for token in asked]
        count = torch.tensor([len(found) for found in spans])
        flat = [
            np.concatenate([lead, source[a:b], [sides.end]]).astype(np.int64)
            for source, found, lead in zip((examples[SOURCE][row] for row in range(len(examples))), spans, leads, strict=True)
            for a, b in found
        ]
        parts = Ragged.of(np.concatenate(flat), [len(part) for part in flat])
        known = torch.arange(int(parts.lengths.max()))[None] < torch.from_numpy(parts.lengths)[:, None]
        lead = torch.repeat_interleave(torch.tensor([len(part) for part in leads]), count)
        sources = (of_ragged(parts), known, count, torch.from_numpy(asked), lead)
        if TARGET not in examples:
            return Batch(*sources, None, None, None)
        begin = torch.full((len(examples), 1), sides.begin)
        whole = of_ragged(examples[TARGET], -1)  # (B, T - 1)
        end = torch.nn.functional.pad(whole, (0, 1), value=-1)
        end[torch.arange(len(whole)), torch.from_numpy(examples[TARGET].lengths)] = sides.end
        tokens = torch.cat([begin, whole.clamp(min=0)], 1)
        return Batch(*sources, tokens, end, torch.from_numpy(np.asarray(examples[DECODE]).astype(np.uint8)))

    def windows(self, sources: Ragged) -> list[list[tuple[int, int]]]:
        """Spans of each source."""
        most = self.room[0]
        if self.config.long == "cut":
            return [[(0, min(most, int(length)))] for length in sources.lengths]
        own = self.tokenizer
        kinds = ends_of(own.form, own.tokenizer), begins_of(own.form, own.tokenizer)
        return [cut(sources[row], *kinds, most) if length > most else [(0, int(length))] for row, length in enumerate(sources.lengths)]

    def build(self) -> nn.Module:
        """The network, or what is solved."""
        section = named(self.config.model)
        model = catalog.load("models", section["kind"])
        if catalog.find("models", section["kind"]).role == "rewriter":
            sides = self.sides
            begins = np.r_[sides.begins, np.ones(len(self.state["tags"]), bool)]
            return model(self.settings, Vocabulary(len(begins), sides.special, sides.end, begins), self.state["corpus"])
        net: nn.Module = model(self.settings, self.state["num_tokens"], self.state["corpus"])
        if section.get("pretrained"):
            pretrained.prepare(net, pretrained.adapting(section))
        return net

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        if self.config.model.get("pretrained"):
            translators.load(net, self.config.model)

    def rungs(self) -> tuple[TextToText, ...]:
        """What needs no training first."""
        kind = self.config.model["kind"]
        if catalog.find("models", named(self.config.model)["kind"]).role == "rewriter":
            return ()
        sections: list[dict[str, Any]] = [{"kind": name, "size": "small"} for name in self.config.baselines]
        sections += [named(self.config.model)] if kind == "auto" else []
        return tuple(type(self)(replace(self.config, model=section, context=self.context), self.state) for section in sections)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Beasts and their colours, in a language that puts the colour behind."""
        picks = np.random.default_rng(seed).integers(0, 5, (count, 3)).tolist()
        rows = [
            (f"{COLOURS[a][0]} {BEASTS[b][0]} sees {BEASTS[c][0]}", f"{BEASTS[b][1]} {COLOURS[a][1]} voit {BEASTS[c][1]}")
            for a, b, c in picks
        ]
        return pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String}, orient="row")


COLOURS = (("red", "rouge"), ("green", "vert"), ("white", "blanc"), ("black", "noir"), ("grey", "gris"))
BEASTS = (("cat", "chat"), ("dog", "chien"), ("bird", "oiseau"), ("fish", "poisson"), ("horse", "cheval"))


def tokenizer_of(spec: dict[str, Any], where: str) -> Tokenizer:
    """A tokenizer of a state. Raises RecipeError L104 … L106."""
    return validate(Tokenizer, {key: value for key, value in spec.items() if key != "kind"}, where=where)


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the encoder and decoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
