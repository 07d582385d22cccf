"""Two bundles in a row: what documents hold is found by one, and read by another, which gives a span of it or an answer in its own words.

The source stays that of the passage. Where the documents hold no answer, the reader is not asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from luban.errors import RecipeError
from luban.messages import tr

if TYPE_CHECKING:
    from luban.bundle.model import Model

SPANS, WORDS = "question_answering", "chat"
FINDS = "document_answering"
PROMPT = "{passages}\n\n{question}"


def read_on(model: Model, reader: Model, table: pl.DataFrame, **settings: Any) -> pl.DataFrame:
    """The answers of `model`, each read on by `reader`: a span of one of its passages, or words made of them. Raises RecipeError L198."""
    kinds = [one.description["task"] for one in (model, reader)]
    if kinds[0] != FINDS or kinds[1] not in (SPANS, WORDS):
        what, fix = (
            tr("a bundle that finds is read on by one that answers"),
            tr("give a bundle of question-answering or chat to one of document-answering"),
        )
        raise RecipeError("L198", what, where="--reader", received=kinds[1] if kinds[0] == FINDS else kinds[0], fix=fix)
    found = model.answers(table, **settings)
    asked = table[next(iter(model.signature["inputs"]))].cast(pl.String).to_list()
    rows = found.to_dicts()
    answered = [number for number, row in enumerate(rows) if row.get("answer") is not None]
    if answered:
        change = of_spans if kinds[1] == SPANS else in_words
        for number, new in zip(
            answered, change(reader, [asked[n] for n in answered], [rows[n]["passages"] for n in answered]), strict=True
        ):
            rows[number] |= new
    return pl.DataFrame(rows, schema=found.schema | {"read": pl.String}, strict=False)


def of_spans(reader: Model, asked: list[str], passages: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The surest span over all passages of each question; a reader that finds none leaves the passage as the answer."""
    question, context = reader.signature["inputs"]
    pairs = [(number, passage) for number, listed in enumerate(passages) for passage in listed]
    spans = reader.predict([{question: asked[number], context: passage["passage"]} for number, passage in pairs])
    best: list[dict[str, Any]] = [{"read": "passage"} for _ in asked]
    sure = [-1.0] * len(asked)
    for (number, passage), span in zip(pairs, spans, strict=True):
        if span["answer"] is None or span["confidence"] <= sure[number]:
            continue
        sure[number] = span["confidence"]
        source = {name: passage[name] for name in ("document", "heading", "score")}
        place = {"begin": passage["begin"] + span["begin"], "end": passage["begin"] + span["end"]}
        best[number] = {"answer": span["answer"], **source, **place, "read": "span"}
    return best


def in_words(reader: Model, asked: list[str], passages: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a chat bundle says when it is shown the passages and the question; the source is that of the first passage."""
    column = next(iter(reader.signature["inputs"]))
    shown = ["\n\n".join(f"[{number}] {passage['passage']}" for number, passage in enumerate(listed, 1)) for listed in passages]
    prompts = [{column: PROMPT.format(passages=text, question=question)} for text, question in zip(shown, asked, strict=True)]
    texts = [answer["text"] for answer in reader.predict(prompts)]
    return [{"answer": text, "read": "generated"} if text else {"read": "passage"} for text in texts]
