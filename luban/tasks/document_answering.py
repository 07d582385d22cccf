"""document_answering: answers to questions from one's own documents, each with its source; or that they hold none.

P passages, B questions, K passages of an answer, L listed, F kinds of evidence. Search by BM25 or by a fusion of ranks; what is found is trusted as
far as held-out questions allow: each of them is asked of the whole collection, and again without the documents that hold its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban import architecture, catalog, pretrained, supervised
from luban.answering import calibration, collection, contexts, library, marking, scoring
from luban.answering.library import Found, Library
from luban.columns import Columns
from luban.errors import DataError, RecipeError
from luban.kinds.text import Text
from luban.messages import tr
from luban.schema import validate
from luban.task import Loss, Split, Traits

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"document-question-answering": {}, "passage-retrieval": {}, "faq": {}}
BASELINE, FUSED, ENCODER = "bm25", "rank_fusion", "bert"
KEYS = ("kind", "size", "pretrained")
LONGEST = 256  # tokens of a passage that an encoder reads


@dataclass(frozen=True)
class Batch:
    """Questions as terms, and what is right."""

    keys: dict[str, Tensor]  # cut -> (E,) int64, one question after the other
    lengths: dict[str, Tensor]  # cut -> (B,) int64
    gold: Tensor  # (B, G) int32 code points of the right answers, -1 between them
    source: Tensor  # (B,) int64 the document that holds the answer, -1 not named, -2 not in the collection
    said: Tensor  # (B,) int64 -1 nothing is said of the answer, 0 there is none, 1 there is one
    asks: Tensor  # (B,) int64


class DocumentAnswering:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Documents, and questions to test them with."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """The column of the question."""
        target: str = ""
        """The column of right answers: a text, or a list of texts, that a passage holds, or of which passages are parts; empty where there is none."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        passage: str = "passage"
        """The column of passages, in rows that are no questions."""
        document: str = "document"
        """The column of where a passage comes from; in the row of a question, the document that holds its answer, if you know it."""
        headings: bool = True
        """Whether the headings above a passage are searched too."""
        form: Literal["passage", "sentence"] = "passage"
        """What an answer is: the best passage, or its sentence that shares most with the question."""
        k: Annotated[int, Gt(0), Le(50)] = 3
        """Passages listed with an answer."""
        least: Annotated[float, Ge(0), Le(1)] | None = None
        """The chance from which on an answer is said. Left out: what is best on the validation questions."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        documents: tuple[str, ...]
        sizes: dict[str, Any]
        encoder: dict[str, Any]

    split = Split(by="random", context=True)
    metrics = (
        "passage_recall_at_5",
        "passage_recall_at_1",
        "passage_recall_at_10",
        "passage_mrr",
        "answer_f1",
        "not_found_accuracy",
        "answer_ece",
    )
    traits = Traits(reading={"text": "passage"}, asking={"text": "table"}, of_answers=("k", "form", "least"), fits_whole=True)

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L104, L109, L112, L256."""
        supervised.check_kinds(config.inputs, where)
        if len(config.inputs) > 1 or any(section["kind"] != "text" for section in config.inputs.values()):
            what, fix = tr("one column of text is the question"), tr("write it down: {example}", example='question = "text"')
            raise RecipeError("L256", what, where=f"{where}: inputs", received=list(config.inputs), fix=fix)
        if config.target and config.target in config.inputs:
            raise RecipeError("L112", tr("the target stands among the inputs"), where=f"{where}: inputs.{config.target}")
        if config.model["kind"] == "auto":
            return
        entry = catalog.find("models", config.model["kind"], where=f"{where}: model.kind")
        if entry.role != "retriever":
            good = [e.name for e in catalog.entries("models").values() if e.role == "retriever"]
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=entry.name, allowed=good
            )
        if config.model.get("pretrained") and entry.name != FUSED:
            raise RecipeError(
                "L109", tr("this model takes no checkpoint"), where=f"{where}: model.kind", received=entry.name, allowed=[FUSED]
            )
        architecture.config_of(config.model, where=f"{where}: model", also=KEYS)

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, ValueError."""
        validate(self.State, self.state, where="state.json")
        collection.check_sizes(self.state["sizes"], catalog.load("models", FUSED).CUTS)
        if spec := self.state["encoder"]:
            validate(Text.Fitted, supervised.without(spec, "kind"), where="state.json: encoder")
        if bool(spec) < bool(self.config.model.get("pretrained")):
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: encoder")

    @staticmethod
    def inputs_of(table: pl.DataFrame) -> dict[str, str]:
        """`question`."""
        return {"question": "text"}

    @staticmethod
    def target_of(table: pl.DataFrame) -> str:
        """`answer`, or `answers`, where there are questions."""
        return next((name for name in ("answer", "answers") if name in table.columns), "")

    @property
    def column(self) -> str:
        """Of the question."""
        return next(iter(self.config.inputs))

    @property
    def optional(self) -> tuple[str, ...]:
        """Documents alone can be prepared: nothing is then known of how far answers can be trusted."""
        return tuple(self.config.inputs)

    @property
    def beside(self) -> dict[str, str]:
        """Columns that its settings name."""
        return dict.fromkeys((self.config.passage, self.config.document, *collection.BESIDE), "")

    @property
    def cuts(self) -> tuple[str, ...]:
        """How texts are cut into terms, for any of the models."""
        kind = self.config.model["kind"]
        return catalog.load("models", FUSED if kind == "auto" else kind).CUTS

    def described(self, table: pl.DataFrame) -> np.ndarray:
        """(N,) rows that are passages: known from the start, they belong to no split."""
        return collection.is_passage(table, self.config.passage)

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """The names of the documents, and how much there is to keep. Raises DataError L259 where there is no passage."""
        kept = table.filter(pl.Series(self.described(table)))
        if not len(kept):
            what, fix = (
                tr("there are questions, and no documents to answer them from"),
                tr("name a folder: {example}", example='data = ["documents", "questions.csv"]'),
            )
            raise DataError("L259", what, where="recipe.toml: data", received=table.columns, allowed=[self.config.passage], fix=fix)
        names = (
            kept[self.config.document].cast(pl.String).fill_null("").unique().sort().to_list()
            if self.config.document in kept.columns
            else [""]
        )
        collection.warn_of_lost(kept, table, self.config)
        cuts = catalog.load("models", FUSED).CUTS
        sizes = library.sizes_of(collection.encode(kept, self.config, names, cuts, {}), cuts)
        spec = pretrained.adopt(self.encoder_section, Text.Config(max_length=LONGEST)) if self.config.model.get("pretrained") else {}
        return {"documents": names, "sizes": sizes | {"vectors": int(bool(spec))}, "encoder": spec}

    @property
    def encoder_section(self) -> dict[str, Any]:
        """Of the sentence encoder that votes too."""
        return {"kind": ENCODER, "size": "small", "pretrained": self.config.model.get("pretrained")}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Passages and questions as terms, one row each; a row that is neither is left out and named."""
        return collection.encode(table, self.config, self.state["documents"], catalog.load("models", FUSED).CUTS, self.state["encoder"])

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """In training passages and questions; else the questions of which it is said what the answer is. Deployed, every row asks."""
        if asked is None:
            return rows
        if asked.all() and np.asarray(rows[library.ABOUT]).any():
            return replace(rows, rejects=())
        return rows.take(np.flatnonzero(asked & ~np.asarray(rows[library.ABOUT]) & (np.asarray(rows[collection.SAID]) >= 0)))

    def questions(self, rows: Columns) -> Columns:
        """All that ask and say what is right."""
        return rows.take(np.flatnonzero(~np.asarray(rows[library.ABOUT]) & (np.asarray(rows[collection.SAID]) >= 0)))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Terms of the questions, one after the other."""
        cuts = (*self.cuts, "tokens") if self.config.model.get("pretrained") else self.cuts
        keys = {cut: examples[library.cut_of(cut)] for cut in cuts}
        facts = [np.asarray(examples[name], np.int64) for name in (library.DOCUMENT, collection.SAID, collection.ASKS)]
        return Batch(
            {cut: torch.from_numpy(part.flat()) for cut, part in keys.items()},
            {cut: torch.from_numpy(np.asarray(part.lengths)) for cut, part in keys.items()},
            torch.from_numpy(examples[collection.GOLD].pad(-2)),
            *(torch.from_numpy(part) for part in facts),
        )

    def build(self) -> nn.Module:
        """The collection with its search."""
        section = self.config.model | ({"kind": BASELINE} if self.config.model["kind"] == "auto" else {})
        sizes = self.state["sizes"] | {"vectors": int(bool(section.get("pretrained")))}
        search = catalog.load("models", section["kind"])(architecture.config_of(section, also=KEYS), sizes)
        encoder = supervised.encoder_of(self.encoder_section, {self.column: self.state["encoder"]}) if section.get("pretrained") else None
        return Library(search, sizes, encoder)

    def start(self, net: Any) -> None:
        """The encoder's weights, where the recipe names a checkpoint."""
        if self.config.model.get("pretrained"):
            pretrained.load(net.encoder, self.encoder_section, self.state["encoder"])

    def remember(self, net: Any, examples: Columns) -> None:
        """All passages."""
        net.fill(examples)

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Nothing is trained."""
        yield Loss(torch.zeros(()), 0)

    def predict(self, net: Any, batch: Batch) -> Found:
        """The best passages for each question, and whether to trust them."""
        return collection.predict(net, batch, self.config)

    def answer(self, prediction: Found) -> pl.DataFrame:
        """`answer` with `document`, `heading`, `begin`, `end` and `score`, null where nothing is found; `confidence`; and the best `passages`."""
        return collection.answer(prediction, self.state["documents"])

    def judge(self, prediction: Found, batch: Batch) -> dict[str, Any]:
        """Marks of the lists and of the answers."""
        gold = [contexts.truths(row.tobytes()) for row in batch.gold.cpu().numpy()]
        words = [
            contexts.written(row)[begin:end]
            for row, (begin, end) in zip(prediction.texts[:, 0].cpu().numpy(), prediction.span.tolist(), strict=True)
        ]
        found, said = prediction.found.cpu().numpy(), batch.said.cpu().numpy()
        answerable = said == contexts.THERE
        scores = [
            scoring.score(word, truths) if there and truths else (0.0, 0.0)
            for word, truths, there in zip(words, gold, found & answerable, strict=True)
        ]
        marks = np.array(scores, np.float64).reshape(-1, 2)
        marks[~found & ~answerable] = 1.0
        rank = prediction.rank.cpu().numpy()
        return {
            "exact": marks[:, 0],
            "f1": marks[:, 1],
            "answerable": answerable,
            "rank": rank,
            "sure": prediction.chance.cpu().numpy(),
            "right": rank == 0,
            "doubt": np.where(answerable, prediction.doubt.cpu().numpy(), np.nan),
            "refused": prediction.refused.cpu().numpy(),
            "evidence": prediction.evidence.cpu().numpy(),
            "without": prediction.without.cpu().numpy(),
            "asks": batch.asks.cpu().numpy(),
            "spoken": marking.packed([word if there else "" for word, there in zip(words, found, strict=True)]),
            "wanted": marking.packed([truths[0] if truths else "" for truths in gold]),
        }

    def calibrate(self, net: Any, marks: Columns) -> None:
        """From every question with its documents, and again without those that hold its answer: what is then found is wrong."""
        answerable = np.asarray(marks["answerable"]).astype(bool)
        evidence = np.concatenate([np.asarray(marks["evidence"]), np.asarray(marks["without"])[answerable]])
        right = np.r_[np.asarray(marks["right"]), np.zeros(int(answerable.sum()))].astype(np.float64)
        there = np.r_[answerable, np.zeros(int(answerable.sum()), bool)]
        slopes, offset = calibration.logistic_fit(evidence, right)
        net.trust(slopes, offset, 0.0)
        chance, _ = net.trusted(evidence)
        net.trust(slopes, offset, max(0.0, calibration.best_threshold(chance, right, (~there).astype(np.float64))))

    def slices(self, marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
        """By what is asked for."""
        yield from marking.slices(marks)

    def mistakes(self, marks: Columns, most: int) -> list[marking.Mistake]:
        """The surest of the wrong answers."""
        return marking.mistakes(marks, most)

    def rungs(self) -> tuple[DocumentAnswering, ...]:
        """BM25, and with `auto` the fusion."""
        kind = self.config.model["kind"]
        names = (BASELINE, FUSED) if kind == "auto" else () if kind == BASELINE else (BASELINE,)
        return tuple(type(self)(replace(self.config, model={"kind": name, "size": "small"}), self.state) for name in names)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Short documents on tools, and questions about them, in two languages."""
        return collection.demo(count, seed)
