"""question_answering: the words of a given text that answer a question, with their place in it; or that there are none.

B questions, W windows, T tokens of a window, C characters of a context. Devlin et al. 2019, section 4.3; no answer as in SQuAD 2.0, with the threshold
that is best on the validation questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban import architecture, catalog, pretrained, supervised
from luban.answering import calibration, contexts, examples, marking, scoring, spans
from luban.answering.extracting import Extracting, SolvedExtracting
from luban.answering.windows import Plan, windows
from luban.columns import Columns
from luban.errors import RecipeError
from luban.kinds.text import Text
from luban.messages import tr
from luban.schema import validate
from luban.task import Loss, Split, Traits
from luban.tokenizing import subwords

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"reading-comprehension": {}, "extractive-question-answering": {}}
DEFAULT, BASELINE = "bert", "word_overlap"
TARGETS = ("answers", "answer")
WINDOWS = 32  # read at once


@dataclass(frozen=True)
class Batch:
    """Questions with windows of their contexts."""

    question: Tensor  # (B, Q) int64, 0 = padding
    context: Tensor  # (W, S) int64, each piece opened and closed
    owner: Tensor  # (W,) int64 the question of each window
    start: Tensor  # (W,) int64 the answer's first token of the piece, -1 = not in this window
    end: Tensor  # (W,) int64 its last
    said: Tensor  # (B,) int64 -1 nothing is said of the answer, 0 there is none, 1 there is one
    begins: Tensor  # (W, S) int32 character at which each token begins
    ends: Tensor  # (W, S) int32
    text: Tensor  # (B, C) int32 code points of the context, -1 = padding; (B, 0) in training
    gold: Tensor  # (B, G) int32 code points of the right answers, -1 between them; (B, 0) in training
    asks: Tensor  # (B,) int64 the kind of the question
    length: Tensor  # (B,) int64 tokens of the whole context


@dataclass(frozen=True)
class Answers:
    """The best span of each question, whether or not it is to be said."""

    begin: Tensor  # (B,) int64
    end: Tensor  # (B,) int64
    score: Tensor  # (B,) float64, above that of no answer
    chance: Tensor  # (B,) float64 that the span is right
    found: Tensor  # (B,) bool, whether it is said
    text: Tensor  # (B, A) int32 code points, -1 after the end


class QuestionAnswering:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Questions, texts and answers."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Two columns of text: the question, then the text that may hold the answer. `max_length` of the question is 64 where left out."""
        target: str = ""
        """The column of right answers: a text that stands in the context, or a list of such; an empty list or text where there is none."""
        start: str = "answer_start"
        """The column of the characters at which the answers begin, from 0; without it the first place of each is taken."""
        no_answer: str = ""
        """What stands in the target where there is no answer. An empty cell of a csv is missing: it says nothing of the answer."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        window: Annotated[int, Ge(32), Le(8192)] = 384
        """Tokens read at once, question included; a longer text is read in windows. At most what the model has places for."""
        overlap: Annotated[int, Ge(0), Le(4096)] = 128
        """Tokens of the text that two neighbouring windows share."""
        longest_answer: Annotated[int, Gt(0), Le(512)] = 30
        """Tokens of an answer at most."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]

    split = Split(by="random")
    traits = Traits(trains_whole=True)
    metrics = ("answer_f1", "exact_match", "has_answer_f1", "no_answer_accuracy", "answer_ece")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L104 … L112, L128, L129, L255."""
        supervised.check_kinds(config.inputs, where)
        examples.check_inputs(config.inputs, where)
        if config.target and config.target in config.inputs:
            raise RecipeError("L112", tr("the target stands among the inputs"), where=f"{where}: inputs.{config.target}")
        if config.overlap >= config.window // 2:
            what = tr("windows that overlap by half or more hardly move on")
            raise RecipeError("L255", what, where=f"{where}: task.overlap", received=config.overlap, allowed=[f"< {config.window // 2}"])
        section = named(config.model)
        entry = catalog.find("models", section["kind"], where=f"{where}: model.kind")
        if entry.role != "reader" and not hasattr(catalog.load("models", entry.name), "states"):
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=entry.name, allowed=able()
            )
        supervised.model_config(section, where=f"{where}: model")
        if section.get("adapt", "full") in pretrained.SOLVED:
            what = tr("here a model is trained as a whole, or by adapters")
            raise RecipeError("L129", what, where=f"{where}: model.adapt", received=section["adapt"], allowed=["full", "lora"])

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, supervised.hollow(self.state), where="state.json")
        specs = self.state["inputs"]
        supervised.check_specs(self.config.inputs, specs, next(iter(specs.values()), {}), ("text",))
        if any(subwords.opened(spec["tokenizer"]) is None for spec in specs.values()) or self.plan.room < 1:
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")

    @staticmethod
    def inputs_of(table: pl.DataFrame) -> dict[str, str]:
        """`question` and `context`, where the table has them."""
        return examples.inputs_of(table)

    @staticmethod
    def target_of(table: pl.DataFrame) -> str:
        """`answers`, or `answer`."""
        return next((name for name in TARGETS if name in table.columns), "")

    def split_of(self, table: pl.DataFrame) -> Split:
        """Questions about one article, or one text, stay together."""
        group = "title" if "title" in table.columns and table["title"].null_count() == 0 else self.columns_read[1]
        return Split(by="random", group=group)

    @property
    def beside(self) -> dict[str, str]:
        """Columns that its settings name."""
        return dict.fromkeys((self.config.start, "title"), "")

    @property
    def columns_read(self) -> tuple[str, str]:
        """The question's column, and the context's."""
        question, context = self.config.inputs
        return question, context

    @property
    def pieces(self) -> subwords.Subwords:
        """The tokenizer, which both columns share."""
        found = subwords.opened(next(iter(self.state["inputs"].values()))["tokenizer"])
        if found is None:
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
        return found

    @property
    def plan(self) -> Plan:
        """How windows are cut: what opens and closes a piece takes two places."""
        room = self.state["inputs"][self.columns_read[1]]["max_length"] - 2
        return Plan(room, max(1, room - self.config.overlap))

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """One tokenizer for both columns, and how a window is shared. Raises DataError L210, RecipeError L255."""
        section, (question, context) = named(self.config.model), self.columns_read
        bare = {column: {"tokenizer": "wordpiece"} | supervised.without(part, "max_length") for column, part in self.config.inputs.items()}
        specs = supervised.fit_inputs(bare, table, section)
        window = min(self.config.window, 2 * specs[question]["max_length"]) if section.get("pretrained") else self.config.window
        longest = self.config.inputs[question].get("max_length", min(examples.QUESTION, window // 2))
        if longest > window // 2:
            what = tr("the question takes more than half of a window")
            raise RecipeError("L255", what, where=f"inputs.{question}.max_length", received=longest, allowed=[f"≤ {window // 2}"])
        return {"inputs": {question: specs[question] | {"max_length": longest}, context: specs[context] | {"max_length": window - longest}}}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Questions, contexts with the characters of their tokens, and answers as places; rows at fault are listed."""
        return examples.encode(table, self.state["inputs"], self.pieces, self.plan, self.config)

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """The asked rows of which it is said what the answer is; all rows where nothing is asked."""
        if asked is None:
            return rows
        return rows.take(np.flatnonzero(asked & (np.asarray(rows[examples.SAID]) >= 0)))

    def collate(self, examples_: Columns, draw: Draw) -> Batch:
        """All windows of each context; in training one, half of the time with the answer in it."""
        question, context = examples_[self.columns_read[0]], examples_[examples.CONTEXT]
        first, last = (np.asarray(examples_[name], np.int64) for name in (examples.FIRST, examples.LAST))
        plan, pieces = self.plan, self.pieces
        where = plan.drawn(context.lengths, first, last, draw) if draw.training else plan.all(context.lengths)
        made = windows(context, where, plan, (first, last), (pieces.opens, pieces.closes))
        spread = [made.cut(examples_[name]) for name in (examples.BEGIN, examples.END)]
        texts = [
            np.zeros((len(context), 0), np.int32) if draw.training else examples_[name].pad(fill)
            for name, fill in ((examples.TEXT, -1), (examples.GOLD, -2))
        ]
        arrays = (question.pad(0).astype(np.int64), made.context, made.owner, made.start, made.end)
        facts = [np.asarray(examples_[name], np.int64) for name in (examples.SAID, examples.ASKS)]
        tensors = [torch.from_numpy(np.ascontiguousarray(part)) for part in (*arrays, facts[0], *spread, *texts, facts[1], context.lengths)]
        return Batch(*tensors)

    def build(self) -> nn.Module:
        """The encoder with its head, or the baseline."""
        section, specs = named(self.config.model), self.state["inputs"]
        joints = Text.joints(next(iter(specs.values()))) or (0, 0)
        if catalog.find("models", section["kind"]).role == "reader":
            reader = catalog.load("models", section["kind"])(architecture.config_of(section), len(self.pieces))
            return SolvedExtracting(reader, joints)
        return Extracting(supervised.encoder_of(section, specs), joints)

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        section = named(self.config.model)
        if section.get("pretrained"):
            pretrained.load(net.encoder, section, next(iter(self.state["inputs"].values())))  # type: ignore[arg-type]

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean over all windows of the cross-entropies of beginning and end; without the answer both are the first token."""
        known = (batch.said[batch.owner] >= 0).nonzero()[:, 0]
        scores, place = net(batch.question[batch.owner[known]], batch.context[known])  # (W, T, 2), (W, T)
        if not len(known):
            yield Loss(scores.sum() * 0, 0)
            return
        able = (place >= 0) | (torch.arange(place.shape[1], device=place.device) == 0)
        scores = scores.masked_fill(~able[..., None], spans.NOTHING)
        goals = [(place == goal[known][:, None]).long().argmax(1) * (goal[known] >= 0) for goal in (batch.start, batch.end)]
        begin, end = (F.cross_entropy(part, goal) for part, goal in zip(scores.unbind(-1), goals, strict=True))
        yield Loss((begin + end) / 2, len(known))

    def predict(self, net: Any, batch: Batch) -> Answers:
        """The best span over all windows of each question."""
        parts, chars = [], []
        for places in torch.arange(len(batch.owner), device=batch.owner.device).split(WINDOWS):
            scores, place = net(batch.question[batch.owner[places]], batch.context[places])
            best = spans.best_spans(scores, place >= 0, self.config.longest_answer)
            rows = torch.arange(len(places), device=places.device)
            ends = [
                side[places].gather(1, place[rows, at].clamp(min=0)[:, None])[:, 0]
                for side, at in ((batch.begins, best.first), (batch.ends, best.last))
            ]
            parts.append(best)
            chars.append(torch.stack(ends, 1).long())
        best = spans.Best(*(torch.cat([getattr(part, name) for part in parts]) for name in ("score", "null", "first", "last")))
        window, score = spans.by_question(best, batch.owner, len(batch.question))
        begin, end = torch.cat(chars)[window].unbind(1)
        some = score > spans.NOTHING / 2
        begin, end = (side * some for side in (begin, end))
        text = spans.cut(batch.text, begin, end, examples.widest(self.config.longest_answer))
        return Answers(begin, end, score, net.trust.chance(score) * some, net.trust.answers(score) & some, text)

    def answer(self, prediction: Answers) -> pl.DataFrame:
        """`answer` as it stands in the text, null where there is none; `confidence` that the best words are right; `begin` and `end` of the answer."""
        found = prediction.found.tolist()
        texts = [contexts.written(row) if there else None for row, there in zip(prediction.text.cpu().numpy(), found, strict=True)]
        places = {
            name: [place if there else None for place, there in zip(getattr(prediction, name).tolist(), found, strict=True)]
            for name in ("begin", "end")
        }
        schema = {"answer": pl.String, "confidence": pl.Float64, "begin": pl.Int64, "end": pl.Int64}
        return pl.DataFrame({"answer": texts, "confidence": prediction.chance.cpu().numpy().round(6), **places}, schema=schema)

    def judge(self, prediction: Answers, batch: Batch) -> dict[str, Any]:
        """Marks of the answers, and of the best words whether or not they were said."""
        gold = [contexts.truths(row.tobytes()) for row in batch.gold.cpu().numpy()]
        words, found = [contexts.written(row) for row in prediction.text.cpu().numpy()], prediction.found.cpu().numpy()
        best = np.array([scoring.score(word, truths) for word, truths in zip(words, gold, strict=True)], np.float64).reshape(-1, 2)
        answerable = batch.said.cpu().numpy() == contexts.THERE
        best = best * answerable[:, None]  # any words are wrong where there is no answer
        said = np.where(found[:, None], best, (~answerable)[:, None].astype(np.float64))
        return {
            "exact": said[:, 0],
            "f1": said[:, 1],
            "answerable": answerable,
            "score": prediction.score.cpu().numpy(),
            "best_exact": best[:, 0],
            "best_f1": best[:, 1],
            "sure": prediction.chance.cpu().numpy(),
            "right": best[:, 0] == 1,
            "asks": batch.asks.cpu().numpy(),
            "length": batch.length.cpu().numpy(),
            "spoken": marking.packed([word if there else "" for word, there in zip(words, found, strict=True)]),
            "wanted": marking.packed([truths[0] if truths else "" for truths in gold]),
        }

    def calibrate(self, net: Any, marks: Columns) -> None:
        """The threshold of the best F1 and the chance that words of a score are right, both from held-out questions."""
        score, f1, exact, answerable = (np.asarray(marks[name]) for name in ("score", "best_f1", "best_exact", "answerable"))
        threshold = calibration.best_threshold(score, f1, (~answerable.astype(bool)).astype(np.float64))
        net.trust.set(threshold, *calibration.platt(score, exact))

    def slices(self, marks: Columns) -> Iterator[tuple[Any, Any, Columns]]:
        """By what is asked for, whether there is an answer, and the length of the text."""
        yield from marking.slices(marks)

    def mistakes(self, marks: Columns, most: int) -> list[marking.Mistake]:
        """The surest of the wrong answers."""
        return marking.mistakes(marks, most)

    def rungs(self) -> tuple[QuestionAnswering, ...]:
        """Word overlap, and with `auto` the encoder."""
        kind = self.config.model["kind"]
        sections = [] if kind == BASELINE else [{"kind": BASELINE, "size": "small"}]
        sections += [named(self.config.model)] if kind == "auto" else []
        return tuple(type(self)(replace(self.config, model=section), self.state) for section in sections)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Which of four kinds of word stands in a text, if one does, in two languages."""
        return examples.demo(count, seed)


def able() -> list[str]:
    """Models for this task."""
    return [
        name for name, e in catalog.entries("models").items() if e.role == "reader" or hasattr(catalog.load("models", name), "masked_head")
    ]


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the encoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
