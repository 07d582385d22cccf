"""SQuAD 1.1 and 2.0 json, and CMRC 2018: questions, each with its context, its answers and where they begin; plain or gzipped.

Rajpurkar et al. 2016 and 2018; Cui et al. 2019. The file is gone through article by article, and what could take more memory than data of its
size has reason to is refused before it is parsed. `line` of what was left out is the number of the question in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban import strict_json
from luban.data.encoding import load
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, shorten
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = ()
SHARED = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
SIGN = r'"(paragraphs|qas)"\s*:\s*\[\s*(\{|\])|"context_(id|text)"\s*:'
SCHEMA = {
    "id": pl.String,
    "title": pl.String,
    "question": pl.String,
    "context": pl.String,
    "answers": pl.List(pl.String),
    "answer_start": pl.List(pl.Int64),
}
MOST_PARTS, MOST_VALUES = 4_000_000, 40_000_000  # of a file; SQuAD 2.0 has 0.4 and 2 million
BLANK = " \t\n\r"
LOST = "\ufffd"  # stands for bytes that could not be read


@dataclass
class Found:
    """What was read so far."""

    path: Path
    damaged: bool
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    rejects: list[BadRow] = field(default_factory=list)
    count: int = 0

    def reject(self, column: str, reason: str, received: Any) -> None:
        """Leave a question out."""
        self.rejects.append(BadRow(str(self.path), self.count, column, reason, shorten(received)))

    def take(self, row: dict[str, Any]) -> None:
        """Keep a question."""
        self.rows.append(tuple(row[name] for name in SCHEMA))
        self.at.append(self.count)


def read(path: Path, options: Reading) -> Part:
    """One question a row; `answers` is empty where there is none, missing where it is not said. Raises DataError L202, L204 … L207, L251, L252."""
    text = load(path, options)
    if text.data.count(b"{") + text.data.count(b"[") > MOST_PARTS or text.data.count(b",") + text.data.count(b":") > MOST_VALUES:
        fix = tr("give it in several files")
        raise DataError("L252", tr("more parts than a file of questions can need"), where=path.name, allowed=[f"{MOST_PARTS:,}"], fix=fix)
    found = Found(path, bool(text.bad))
    for article in articles(text.data.decode(), path):
        of_article(article, found)
    if not found.count:
        what, fix = tr("no question is in it"), tr("SQuAD has data → paragraphs → qas → question")
        raise DataError("L251", what, where=path.name, fix=fix)
    table = pl.DataFrame(found.rows, schema=SCHEMA, orient="row")
    note = tr("{file}: {count} questions, {encoding}", file=path.name, count=f"{found.count:,}", encoding=text.encoding.upper())
    return Part(table, Origin.lines(path, np.array(found.at, np.int64)), found.rejects, notes=(note,))


def articles(content: str, path: Path) -> Iterator[Any]:
    """The items of the list `data`, of a list alone, or of one article a line; only one of them is held. Raises DataError L251."""
    place = past_blank(content, 0)
    if content[place : place + 1] == "{":
        begin = data_of(content, place, path)
        if begin is None:
            for number, line in enumerate(content.split("\n"), 1):
                if line.strip():
                    yield value_at(line, past_blank(line, 0), path, number)[0]
            return
        place = begin
    if content[place : place + 1] != "[":
        raise broken(path, place, tr("a list of articles is wanted here"))
    place = past_blank(content, place + 1)
    while content[place : place + 1] != "]":
        article, place = value_at(content, place, path)
        yield article
        place = past_blank(content, place)
        if content[place : place + 1] not in (",", "]"):
            raise broken(path, place, tr("the list of articles does not end"))
        place = past_blank(content, place + (content[place] == ","))


def data_of(content: str, place: int, path: Path) -> int | None:
    """Where the list `data` of the outermost table begins; None where its articles are the lines."""
    place = past_blank(content, place + 1)
    while content[place : place + 1] == '"':
        key, place = value_at(content, place, path)
        place = past_blank(content, place)
        if content[place : place + 1] != ":":
            raise broken(path, place, tr("a colon is wanted here"))
        place = past_blank(content, place + 1)
        if key == "data":
            return place
        if key in ("paragraphs", "qas"):
            return None
        _, place = value_at(content, place, path)
        place = past_blank(content, place)
        place = past_blank(content, place + (content[place : place + 1] == ","))
    return None


def past_blank(content: str, place: int) -> int:
    """The next place that is no space."""
    while place < len(content) and content[place] in BLANK:
        place += 1
    return place


def value_at(content: str, place: int, path: Path, line: int = 0) -> tuple[Any, int]:
    """One value and where it ends; keys stand once, numbers are finite. Raises DataError L251."""
    decoder = json.JSONDecoder(
        object_pairs_hook=strict_json.once, parse_constant=strict_json.refuse, parse_float=strict_json.finite, strict=False
    )
    try:
        return decoder.raw_decode(content, place)
    except json.JSONDecodeError as error:
        raise broken(path, error.pos, error.msg, line) from error
    except (ValueError, RecursionError) as error:
        why = tr("nested too deeply") if isinstance(error, RecursionError) else str(error)
        raise broken(path, place, why, line) from error


def broken(path: Path, place: int, why: str, line: int = 0) -> DataError:
    """The error for a file whose structure cannot be followed."""
    where = f"{path.name}:{line}" if line else path.name
    what = tr("invalid JSON at character {place}: {why}", place=place + 1, why=why[:80])
    return DataError("L251", what, where=where, fix=tr("copy or download it again"))


def of_article(article: Any, found: Found) -> None:
    """The questions of an article: SQuAD's paragraphs, or CMRC's own layout without them."""
    if not isinstance(article, dict):
        found.count += 1
        found.reject("", tr("not a record: an article is {open} … {close}", open="{", close="}"), article)
        return
    paragraphs = article.get("paragraphs")
    title = article.get("title") if isinstance(article.get("title"), str) else None
    for paragraph in paragraphs if isinstance(paragraphs, list) else [article]:
        of_paragraph(paragraph, title, found)


def of_paragraph(paragraph: Any, title: str | None, found: Found) -> None:
    """The questions about one context."""
    table = paragraph if isinstance(paragraph, dict) else {}
    context, questions = table.get("context", table.get("context_text")), table.get("qas")
    if not isinstance(questions, list):
        found.count += 1
        found.reject("", tr("a paragraph without its list of questions (qas)"), paragraph)
        return
    for number, question in enumerate(questions):
        found.count += 1
        known = question if isinstance(question, dict) else {}
        text = known.get("question", known.get("query_text"))
        name = known.get("id", known.get("query_id", f"{table.get('id', found.count)}-{number}"))
        if fault := fault_of(context, text, damaged=found.damaged):
            found.reject(*fault, str(name))
            continue
        answers, starts, reason = answers_of(known, str(context))
        if reason:
            found.reject("answers", reason, str(name))
            continue
        row = {"id": str(name), "title": title, "question": text, "context": context, "answers": answers, "answer_start": starts}
        found.take(row)


def fault_of(context: Any, question: Any, *, damaged: bool) -> tuple[str, str] | None:
    """(column, why) of a question that cannot be asked."""
    for column, text in (("context", context), ("question", question)):
        if not isinstance(text, str) or not text.strip():
            return column, tr("it is empty") if isinstance(text, str) else tr("it is missing")
        if damaged and LOST in text:
            return column, tr("it holds bytes that could not be read")
        if any("\ud800" <= character <= "\udfff" for character in text):
            return column, tr("it holds half a character")
    return None


def answers_of(question: dict[str, Any], context: str) -> tuple[list[str] | None, list[int] | None, str]:
    """(answers, where they begin, why they cannot be): none at all where the question says so, missing where nothing is said."""
    given = question.get("answers")
    if given is not None and not isinstance(given, list):
        return None, None, tr("a list is wanted here")
    if question.get("is_impossible") is True:
        return ([], [], "") if not given else (None, None, tr("it is said to have no answer, and has one"))
    if not given:
        return None, None, ""
    texts, starts = [], []
    for answer in given:
        text = answer.get("text") if isinstance(answer, dict) else answer
        if not isinstance(text, str) or not text.strip():
            return None, None, tr("an answer is empty")
        start = answer.get("answer_start") if isinstance(answer, dict) else context.find(text)
        if not isinstance(start, int) or isinstance(start, bool):
            return None, None, tr("an answer does not say where it begins")
        if start < 0 or context[start : start + len(text)] != text:
            return None, None, wrong_place(text, start, context)
        texts.append(text)
        starts.append(start)
    return texts, starts, ""


def wrong_place(text: str, start: int, context: str) -> str:
    """Why an answer is not where it says."""
    if text not in context:
        return tr("the answer {answer} does not stand in the context", answer=shorten(text, 40))
    there = shorten(context[max(0, start) : max(0, start) + len(text)], 40)
    return tr("at character {start} of the context stands {there}, not {answer}", start=start, there=there, answer=shorten(text, 40))
