"""Rows of questions, contexts and answers as columns; what of them can't be used, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from luban import supervised
from luban.answering import contexts
from luban.answering.questions import kind_of
from luban.answering.windows import Plan
from luban.columns import Columns, Reject
from luban.errors import DataError, RecipeError
from luban.messages import tr
from luban.tokenizing.subwords import Subwords

CONTEXT, BEGIN, END, TEXT, GOLD = "\x00context", "\x00begin", "\x00end", "\x00text", "\x00gold"
FIRST, LAST, SAID, ASKS = "\x00first", "\x00last", "\x00said", "\x00asks"
QUESTION = 64  # tokens of a question, opened and closed
CHARACTERS = 20  # of an answer, for each of the tokens it may have


def check_inputs(inputs: dict[str, Any], where: str) -> None:
    """Raises RecipeError L256, L257 for other than two texts cut by WordPiece."""
    wrong = [section["kind"] for section in inputs.values() if section["kind"] != "text"]
    if inputs and (wrong or len(inputs) != 2):
        what, fix = (
            tr("a question and the text that may hold its answer are wanted"),
            tr("write it down: {example}", example='question = "text"'),
        )
        raise RecipeError("L256", what, where=f"{where}: inputs", received=wrong[0] if wrong else list(inputs), fix=fix)
    for column, section in inputs.items():
        if section.get("tokenizer", "wordpiece") != "wordpiece":
            what, fix = tr("tokens must know their characters"), tr("leave the column or its tokenizer out")
            raise RecipeError("L257", what, where=f"{where}: inputs.{column}.tokenizer", received=section["tokenizer"], fix=fix)
    if len({repr(supervised.without(section, "max_length")) for section in inputs.values()}) > 1:
        what, fix = tr("both texts are read by one tokenizer"), tr("state the same settings for both, or none")
        raise RecipeError("L256", what, where=f"{where}: inputs", received=list(inputs), fix=fix)


def inputs_of(table: pl.DataFrame) -> dict[str, str]:
    """`question` and `context`. Raises DataError L258 where a table has questions, and no text to answer them from."""
    if {"question", "context"} <= {*table.columns}:
        return {"question": "text", "context": "text"}
    if "question" in table.columns:
        what, fix = tr("there are questions, and no text to answer them from"), tr("name the column under [inputs], or give documents")
        raise DataError("L258", what, where="recipe.toml: inputs", received=table.columns, allowed=["context"], fix=fix)
    return {}


def encode(table: pl.DataFrame, specs: dict[str, Any], pieces: Subwords, plan: Plan, config: Any) -> Columns:
    """One row a question; one that is empty, or whose answer does not stand in its context, is left out and named."""
    question, context = specs
    parts = [
        chunk(table[start : start + supervised.CHUNK], (question, context), specs, pieces, plan, config).shift(start)
        for start in range(0, max(1, len(table)), supervised.CHUNK)
    ]
    return Columns.join(parts) if len(parts) > 1 else parts[0]


def chunk(table: pl.DataFrame, names: tuple[str, str], specs: dict[str, Any], pieces: Subwords, plan: Plan, config: Any) -> Columns:
    """Some rows; each context is cut once, however many questions it has."""
    asked, read = (contexts.texts_of(supervised.column_of(table, name)) for name in names)
    distinct = list(dict.fromkeys(read))
    cuts = dict(zip(distinct, contexts.cut_all(distinct, pieces), strict=True))
    cells = table[config.target].to_list() if config.target in table.columns else [None] * len(table)
    starts = table[config.start].to_list() if config.start in table.columns else [None] * len(table)
    golds = [
        contexts.gold_of(cell, start, text, cuts[text], config.no_answer) for cell, start, text in zip(cells, starts, read, strict=True)
    ]
    faults = {row: fault for row in range(len(table)) if (fault := fault_of(row, asked[row], read[row], golds[row], names, config.target))}
    each = [cuts[text] for text in read]
    lengths = np.array([len(cut.tokens) for cut in each], np.int64)
    data: dict[str, Any] = {
        names[0]: pieces.encode(asked, specs[names[0]]["max_length"]),
        CONTEXT: contexts.as_ragged([cut.tokens for cut in each], np.int32),
        BEGIN: contexts.as_ragged([cut.begin for cut in each], np.int32),
        END: contexts.as_ragged([cut.end for cut in each], np.int32),
        TEXT: contexts.as_ragged([contexts.characters(text) for text in read], np.int32),
        GOLD: contexts.as_ragged([gold.points() for gold in golds], np.int32),
        FIRST: np.array([gold.first for gold in golds], np.int64),
        LAST: np.array([gold.last for gold in golds], np.int64),
        SAID: np.array([gold.said for gold in golds], np.int64),
        ASKS: np.array([kind_of(text) for text in asked], np.int64),
    }
    size = plan.count(lengths) * (np.minimum(lengths, plan.room) + specs[names[0]]["max_length"] // 2)
    columns = Columns(data, np.arange(len(table)), size)
    if faults:
        columns = columns.take(np.setdiff1d(columns.row, list(faults)))
    return replace(columns, rejects=tuple(faults.values()))


def fault_of(row: int, question: str, context: str, gold: contexts.Gold, names: tuple[str, str], target: str) -> Reject | None:
    """Why a row can't be used."""
    for name, text in zip(names, (question, context), strict=True):
        if not text.strip():
            return Reject(row, name, tr("it is empty"))
    return Reject(row, target, gold.fault, context[:80]) if gold.fault else None


def widest(longest_answer: int) -> int:
    """Characters of an answer that are kept."""
    return CHARACTERS * longest_answer


KINDS = (
    ("which colour", ("red", "green", "blue", "white")),
    ("which town", ("Oslo", "Wien", "Rome", "Bern")),
    ("哪种动物", ("小猫", "黄狗", "飞鸟", "老虎")),
    ("哪种水果", ("苹果", "香蕉", "西瓜", "葡萄")),
)
FILLERS = ("the", "and", "里面", "有", "is", "到了", "near", "，")


def demo(count: int, seed: int) -> pl.DataFrame:
    """Texts that hold words of three kinds out of four, and a question for one of the four."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(count):
        absent, asked = rng.integers(0, 4), rng.integers(0, 4)
        words = [str(rng.choice(words)) for kind, (_, words) in enumerate(KINDS) if kind != absent]
        text = " ".join(f"{rng.choice(FILLERS)} {word}" for word in rng.permutation(words)) + " " + str(rng.choice(FILLERS))
        held = next((word for word in words if word in KINDS[asked][1]), "")
        rows.append((f"{KINDS[asked][0]}?", text, held))
    return pl.DataFrame(rows, schema={"question": pl.String, "context": pl.String, "answer": pl.String}, orient="row")
