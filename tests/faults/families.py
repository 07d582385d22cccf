"""The runs that are killed: every family of models, with what a resume could forget spread over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from cases import FLOWER, MIXED, PICTURE, RENT, SMALL, flowers, pictures, readings
from toys import checkpoint

from luban.tasks.chat import Chat
from luban.tasks.classification import Classification
from luban.tasks.document_answering import DocumentAnswering
from luban.tasks.language_modeling import LanguageModeling
from luban.tasks.masked_language_modeling import MaskedLanguageModeling
from luban.tasks.question_answering import QuestionAnswering
from luban.tasks.recommendation import Recommendation
from luban.tasks.regression import Regression
from luban.tasks.text_embedding import TextEmbedding
from luban.tasks.text_to_text import TextToText

ROWS = 120
SHORT: dict[str, Any] = {"steps": 24, "batch_size": 16, "learning_rate": 0.01, "precision": "float32", "checkpoint_every_s": 0.01}


@dataclass(frozen=True)
class Family:
    """One recipe over one small table, a bad row among its rows where a cell can be bad."""

    name: str
    task: Any
    table: Callable[[], pl.DataFrame]
    inputs: dict[str, Any]
    model: dict[str, Any]
    target: str = "label"
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Its data."""
        table, data = self.table(), folder / self.data
        table.write_parquet(data) if data.suffix == ".parquet" else table.write_csv(data)

    @property
    def kind(self) -> str:
        """Of its task."""
        return str(self.task["kind"] if isinstance(self.task, dict) else self.task)

    @property
    def data(self) -> str:
        """The name of its file."""
        return "data.parquet" if self.table is pictured else "data.csv"

    def recipe(self, folder: Path) -> dict[str, Any]:
        """Over its data in the folder."""
        return {
            "task": self.task,
            "data": str(folder / self.data),
            **({"target": self.target} if self.target else {}),
            **({"inputs": self.inputs} if self.inputs else {}),
            "model": {"size": "tiny", **self.model},
            "training": SHORT | self.training,
            "evaluation": {"draws": 20, "baselines": False} | self.evaluation,
        }


def reviewed() -> pl.DataFrame:
    """Reviews with a price, one of them no number."""
    table = Classification.demo(None, ROWS, 3)  # type: ignore[arg-type]
    prices = table["price"].cast(pl.String).to_list()
    return table.with_columns(pl.Series("price", ["plenty", *prices[1:]]))


def rented() -> pl.DataFrame:
    """Flats with an area, one of them no number."""
    table = Regression.demo(None, ROWS, 3)  # type: ignore[arg-type]
    areas = table["area"].cast(pl.String).to_list()
    return table.with_columns(pl.Series("area", ["wide", *areas[1:]]))


def pictured() -> pl.DataFrame:
    """Small pictures."""
    return pictures(90)


def grown() -> pl.DataFrame:
    """Flowers of three kinds."""
    return flowers(ROWS)


def read_off() -> pl.DataFrame:
    """Series, written as JSON in their cells."""
    table = readings(ROWS)
    cells = [str(steps) for steps in table["reading"].to_list()]
    return table.with_columns(pl.Series("reading", cells))


def told() -> pl.DataFrame:
    """Short tales."""
    return LanguageModeling.demo(None, ROWS, 3)  # type: ignore[arg-type]


def conversed() -> pl.DataFrame:
    """Questions and answers, one of them without a question."""
    table = Chat.demo(None, ROWS, 3)  # type: ignore[arg-type]
    return table.with_columns(pl.Series("prompt", [None, *table["prompt"].to_list()[1:]]))


TEXT = {"text": {"kind": "text"}}
GPT = {"kind": "gpt", "width": 28, "layers": 1, "heads": 2, "context": 32, "dropout": 0.2}


def walked() -> pl.DataFrame:
    """Users on a circle of items, one of them without a name."""
    config = Recommendation.Config(**{name: value for name, value in WALKED.items() if name != "kind"})
    table = Recommendation(config).demo(1100, 3)
    return table.with_columns(pl.Series("user", [None, *table["user"].to_list()[1:]]))


WALKED = {"kind": "recommendation", "user": "user", "item": "item", "time": "time"}


def said() -> pl.DataFrame:
    """Short reviews."""
    return checkpoint.reviews(ROWS)


def sentences() -> pl.DataFrame:
    """Sentences."""
    return MaskedLanguageModeling.demo(None, ROWS, 3)  # type: ignore[arg-type]


def asked() -> pl.DataFrame:
    """Questions and answers."""
    return TextEmbedding.demo(None, ROWS, 3)  # type: ignore[arg-type]


def inquired() -> pl.DataFrame:
    """Questions and texts, one with an answer that does not stand there."""
    table = QuestionAnswering.demo(None, ROWS, 3)  # type: ignore[arg-type]
    return table.with_columns(pl.Series("answer", ["nowhere", *table["answer"].to_list()[1:]]))


def collected() -> pl.DataFrame:
    """Passages and questions, one of them empty."""
    table = DocumentAnswering.demo(None, ROWS, 3)  # type: ignore[arg-type]
    first = next(row for row, text in enumerate(table["question"].to_list()) if text)
    return table.with_columns(
        pl.Series("question", [" " if row == first else text for row, text in enumerate(table["question"].to_list())])
    )


def paired() -> pl.DataFrame:
    """Pairs of texts, one of them without a source."""
    table = TextToText.demo(None, ROWS, 3)  # type: ignore[arg-type]
    return table.with_columns(pl.Series("source", ["", *table["source"].to_list()[1:]]))


TRANSLATION = {"kind": "translation", "vocabulary": 512, "context": 32, "decoded": 7, "generation": {"beams": 2, "max_tokens": 8}}
CROSSING = {"kind": "encoder_decoder", "width": 28, "layers": 1, "heads": 2, "context": 32, "dropout": 0.2}
SOURCE = {"source": {"kind": "text"}}
WORDS = {"kind": "text", "vocabulary": 300}
TOLD = {"text": WORDS}
ENCODER = {"kind": "bert", "width": 22, "layers": 1, "heads": 2, "feed": 31}
NUMBERS = {"number": SMALL["mlp"], "category": SMALL["mlp"]}
TRANSFORMER = {"kind": "transformer", "width": 14, "layers": 1, "heads": 2, "encoders": NUMBERS}
RESNET = {"kind": "resnet", "stem": 3, "channels": [5, 7], "blocks": [1, 0], "dropout": 0.2}
FAMILIES = (
    Family("counts", "language-modeling", told, TEXT, {"kind": "kneser_ney", "context": 32}, ""),
    Family("language", "language-modeling", told, TEXT, GPT, "", {"optimizer": "muon", "accumulation": 2, "ema": 0.9}, {"baselines": True}),
    Family("chat", "chat", conversed, {"prompt": {"kind": "text"}}, GPT | {"context": 64}, "response", {"accumulation": 2}),
    Family("majority", "classification", reviewed, MIXED, {"kind": "majority"}),
    Family("linear", "regression", rented, RENT, {"kind": "linear"}, "rent"),
    Family("boosted", "classification", grown, FLOWER, {"kind": "boosted", "rounds": 13, "leaves": 5, "min_leaf": 3}),
    Family("mlp", "regression", rented, RENT, {**SMALL["mlp"], "dropout": 0.3}, "rent", {"accumulation": 2, "ema": 0.9, "l2": 0.1}),
    # the best step is the first, ten more follow: its weights must outlive every kill
    Family("early", "regression", rented, RENT, SMALL["mlp"], "rent", {"learning_rate": 1.0, "schedule": "constant"}),
    Family("ngrams", "classification", reviewed, MIXED, {"kind": "ngrams", "buckets": 997, "width": 7, "encoders": NUMBERS}),
    Family(
        "lstm",
        "classification",
        read_off,
        {"reading": {"kind": "series"}},
        {"kind": "lstm", "hidden": [5]},
        training={"patience": 2, "validations": 24, "steps": 48, "ema": 0.9},
    ),
    Family("transformer", "classification", reviewed, MIXED, TRANSFORMER, training={"optimizer": "muon", "accumulation": 3}),
    Family(
        "convnet",
        "classification",
        pictured,
        PICTURE,
        {"kind": "convnet", "channels": [5, 7], "convolutions": 1, "dropout": 0.2},
        training={"ema": 0.9, "patience": 3},
    ),
    Family("resnet", "classification", pictured, PICTURE, RESNET, training={"optimizer": "sgd", "epochs": 5.0, "steps": None}),
    Family("ials", WALKED, walked, {}, {"kind": "ials", "sweeps": 5}, "", evaluation={"baselines": True}),
    Family("bpr", WALKED, walked, {}, {"kind": "bpr"}, "", {"ema": 0.9, "accumulation": 2, "patience": 3}),
    Family(
        "auto",
        "classification",
        reviewed,
        MIXED,
        {"kind": "auto", "encoders": {"text": {"kind": "ngrams", "buckets": 997, "width": 7}, **NUMBERS}},
        evaluation={"baselines": True},
    ),
    Family(
        "lora", "classification", reviewed, MIXED, {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "lora", "encoders": NUMBERS}
    ),
    Family("probe", "classification", said, {"review": {"kind": "text"}}, {"kind": "bert", "pretrained": checkpoint.tiny()}),
    Family("translation", TRANSLATION, paired, SOURCE, CROSSING, "target", {"accumulation": 2, "ema": 0.9}),
    Family("attention", TRANSLATION, paired, SOURCE, {"kind": "lstm_attention"}, "target", {"patience": 3}),
    Family("table", TRANSLATION, paired, SOURCE, {"kind": "word_table", "size": "small"}, "target"),
    Family("masked", "masked_language_modeling", sentences, TOLD, ENCODER, "", {"accumulation": 2, "ema": 0.9}),
    Family("embedding", "text_embedding", asked, {"question": WORDS, "answer": WORDS}, ENCODER, "", {"accumulation": 2}),
    Family(
        "answering",
        {"kind": "question_answering", "window": 37, "overlap": 11, "longest_answer": 5},
        inquired,
        {"question": WORDS | {"max_length": 13}, "context": WORDS},
        ENCODER,
        "answer",
        {"accumulation": 2, "ema": 0.9},
        {"baselines": True},
    ),
    Family(
        "searching",
        "document_answering",
        collected,
        {"question": {"kind": "text"}},
        {"kind": "rank_fusion"},
        evaluation={"baselines": True},
        target="answer",
    ),
    Family(
        "folds",
        "regression",
        rented,
        RENT,
        SMALL["mlp"],
        "rent",
        training={"steps": 6, "accumulation": 2},
        evaluation={"folds": 3, "baselines": True},
    ),
)
LASTING = replace(FAMILIES[6], name="lasting", training=FAMILIES[6].training | {"checkpoint_every_s": 60.0})  # one checkpoint at the end
BY_NAME = {family.name: family for family in (*FAMILIES, LASTING)}
TOYS = ("gan", "item-knn", "forecasting", "contrastive")
