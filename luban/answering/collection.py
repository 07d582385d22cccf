"""Passages and questions as columns, and from scores to answers with their sources. P passages, B questions, K in an answer, L listed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch

from luban import supervised
from luban.answering import contexts, library, scoring
from luban.answering.library import NAMED, Found, Library, best_sentence, cut_of, holds
from luban.answering.questions import kind_of
from luban.columns import Array, Columns, Reject
from luban.data.passages import LONGEST, sentences
from luban.errors import RecipeError, warn
from luban.kinds.text import Text
from luban.messages import tr
from luban.retrieving import terms

GOLD, SAID, ASKS = "\x00gold", "\x00said", "\x00asks"
BESIDE = ("heading", "begin", "end")  # columns of a passage, where the table has them
NOWHERE, UNNAMED = -2, -1
MOST = 2**40
LOOKED_AT = 1000  # answers


def is_passage(table: pl.DataFrame, column: str) -> Array:
    """(N,) rows that hold a passage."""
    return table[column].is_not_null().to_numpy() if column in table.columns else np.zeros(len(table), bool)


def warn_of_lost(kept: pl.DataFrame, table: pl.DataFrame, config: Any) -> None:
    """Of some training questions, how many answers no passage holds: those count as never found."""
    if config.target not in table.columns:
        return
    answers = [cell for cell in table[config.target].to_list() if cell is not None][:LOOKED_AT]
    whole = [scoring.bare("\n".join(texts_of(kept, config.passage)), like) for like in ("", "汉")]
    lost = [cell for cell in answers if (texts := listed(cell)) and not any(stands(text, whole) for text in texts)]
    if lost:
        what = tr("{n} of {of} answers looked at stand in no passage; their questions count as not answered", n=len(lost), of=len(answers))
        warn("W262", what, where=config.target, fix=tr("give the documents that hold them, or take the questions out"))


def stands(answer: str, whole: list[str]) -> bool:
    """Whether the first sentence of an answer stands in the passages; `whole` are their words, and their characters."""
    begin, end = next(sentences(answer), (0, 0))
    part = scoring.bare(answer[begin:end], answer)
    return not part or library.within(part, whole[bool(scoring.HAN.search(answer))])


def check_sizes(sizes: dict[str, Any], cuts: tuple[str, ...]) -> None:
    """Raises RecipeError L123 for sizes that no collection has."""
    found = [sizes.get(cut) for cut in cuts]
    parts: list[dict[str, Any]] = [part for part in found if isinstance(part, dict)]
    plain = [sizes.get(name) for name in ("passages", "characters", "headings")]
    plain += [part.get(name) for part in parts for name in ("passages", "terms", "postings")]
    good = len(parts) == len(cuts) and all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST for value in plain)
    if not good or any(part["passages"] != sizes["passages"] for part in parts):
        raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: sizes")


def encode(table: pl.DataFrame, config: Any, documents: list[str], cuts: tuple[str, ...], spec: dict[str, Any]) -> Columns:
    """One row each; in parts, so that memory stays bounded."""
    code = {name: number for number, name in enumerate(documents)}
    size = supervised.CHUNK
    parts = [chunk(table[at : at + size], config, code, cuts, spec).shift(at) for at in range(0, max(1, len(table)), size)]
    return Columns.join(parts) if len(parts) > 1 else parts[0]


def chunk(table: pl.DataFrame, config: Any, code: dict[str, int], cuts: tuple[str, ...], spec: dict[str, Any]) -> Columns:
    """Some rows; one that is neither a passage nor a question is left out and named. `spec` is that of an encoder's tokens, or empty."""
    about, column = is_passage(table, config.passage), next(iter(config.inputs), "question")
    texts = {name: texts_of(table, name) for name in (config.passage, column, "heading")}
    plain = [texts[config.passage][row] if about[row] else texts[column][row] for row in range(len(table))]
    heads = [texts["heading"][row] if about[row] else "" for row in range(len(table))]
    searched = [f"{head}\n{text}" if head and config.headings else text for head, text in zip(heads, plain, strict=True)]
    cells = table[config.target].to_list() if config.target in table.columns else [None] * len(table)
    answers = [None if about[row] else listed(cell) for row, cell in enumerate(cells)]
    sources = np.array(
        [source_of(name, code, known=bool(there)) for name, there in zip(texts_of(table, config.document, None), about, strict=True)]
    )
    said = np.array([contexts.UNKNOWN if cell is None else contexts.THERE if cell else contexts.NONE for cell in answers], np.int64)
    said[~about & (said == contexts.UNKNOWN) & (sources != UNNAMED)] = contexts.THERE  # the document alone says what is right
    places = {
        name: numbers(table, column, length) for name, column, length in ((library.BEGIN, "begin", None), (library.END, "end", plain))
    }
    data: dict[str, Any] = {cut_of(cut): contexts.as_ragged([terms.keys(text, cut) for text in searched], np.int64) for cut in cuts}
    data |= {
        library.ABOUT: about,
        library.TEXT: contexts.as_ragged(
            [contexts.characters(text) if there else NO_POINTS for text, there in zip(plain, about, strict=True)], np.int32
        ),
        library.HEADING: contexts.as_ragged([contexts.characters(text)[:NAMED] for text in heads], np.int32),
        library.DOCUMENT: sources,
        **places,
        GOLD: contexts.as_ragged([contexts.Gold(contexts.THERE, tuple(cell or ())).points() for cell in answers], np.int32),
        SAID: said,
        ASKS: np.array([kind_of(text) if not there else 0 for text, there in zip(plain, about, strict=True)], np.int64),
    }
    if spec:
        data[library.TOKENS] = Text.encode(pl.Series("text", searched, dtype=pl.String), spec).values
    columns = Columns(data, np.arange(len(table)))
    faults = [
        Reject(row, config.passage if about[row] else column, tr("it is empty")) for row, text in enumerate(plain) if not text.strip()
    ]
    if faults:
        columns = columns.take(np.setdiff1d(columns.row, [fault.row for fault in faults]))
    return replace(columns, rejects=tuple(faults))


NO_POINTS = np.zeros(0, np.int32)


def texts_of(table: pl.DataFrame, column: str, missing: Any = "") -> list[Any]:
    """A column's texts; one that is not there is missing throughout."""
    if column not in table.columns:
        return [missing] * len(table)
    return [missing if text is None else text for text in table[column].cast(pl.String).to_list()]


def numbers(table: pl.DataFrame, column: str, texts: list[str] | None) -> Array:
    """(N,) int64 of a column; where it says nothing 0, or the length of the text."""
    usual = [0] * len(table) if texts is None else [len(text) for text in texts]
    if column not in table.columns or not table[column].dtype.is_numeric():
        return np.array(usual, np.int64)
    return np.array(
        [max(0, int(value)) if value is not None else other for value, other in zip(table[column].to_list(), usual, strict=True)], np.int64
    )


def listed(cell: Any) -> list[str] | None:
    """The right answers; None where nothing is said, none where there is none."""
    if cell is None:
        return None
    return [str(text) for text in ([cell] if isinstance(cell, str) else cell) if text is not None and str(text).strip()]


def source_of(name: str | None, code: dict[str, int], *, known: bool) -> int:
    """The number of a document; one that no passage comes from is nowhere."""
    return UNNAMED if name is None and not known else code.get(name or "", NOWHERE if not known else 0)


def predict(net: Library, batch: Any, config: Any) -> Found:
    """Question by question: scores of all passages are held for one at a time."""
    count, k = len(batch.said), config.k
    parts = {cut: np.split(keys.cpu().numpy(), np.cumsum(batch.lengths[cut].cpu().numpy())[:-1]) for cut, keys in batch.keys.items()}
    out = blank(count, k, net.search.evidence_dim + 1)
    for row in range(count):
        question = {cut: part[row] for cut, part in parts.items()}
        scores, evidence = net.find(question)
        hits = net.hits(scores, evidence)
        out["evidence"][row] = hits.evidence
        put(out, row, net, hits, k)
        if len(hits.places):
            text = net.text(int(hits.places[0]))[:LONGEST]
            out["span"][row] = (0, len(text)) if config.form == "passage" else best_sentence(text, question["words"], rarity_of(net))
        if int(batch.said[row]) == contexts.THERE:
            right, away = right_among(net, hits.places, contexts.truths(batch.gold[row].cpu().numpy().tobytes()), int(batch.source[row]))
            out["rank"][row] = right
            out["without"][row] = net.hits(scores, evidence, away).evidence
    chance, found = said_of(net, out["evidence"], config.least)
    doubt, wrongly = said_of(net, out["without"], config.least)
    told = {"chance": chance, "found": found, "doubt": doubt, "refused": ~wrongly}
    return Found(**{name: torch.from_numpy(value) for name, value in (out | told).items()})


def said_of(net: Library, evidence: Array, least: float | None) -> tuple[Array, Array]:
    """(B,) chances, and whether to answer: from the chance on that the question names, else from that of the validation questions."""
    chance, found = net.trusted(evidence)
    return chance, found if least is None else (chance >= least) & (chance > 0)


def blank(count: int, k: int, features: int) -> dict[str, Array]:
    """Nothing found yet."""
    return {
        "passages": np.full((count, k), -1, np.int64),
        "scores": np.zeros((count, k)),
        "texts": np.full((count, k, LONGEST), -1, np.int32),
        "headings": np.full((count, k, NAMED), -1, np.int32),
        "places": np.full((count, k, 3), -1, np.int64),
        "span": np.zeros((count, 2), np.int64),
        "rank": np.full(count, -1, np.int64),
        "evidence": np.zeros((count, features)),
        "without": np.zeros((count, features)),
    }


def put(out: dict[str, Array], row: int, net: Library, hits: library.Hits, k: int) -> None:
    """The first passages that say anything at all."""
    for number, place in enumerate(hits.places[:k].tolist()):
        if hits.scores[number] <= 0:
            break
        out["passages"][row, number], out["scores"][row, number] = place, hits.scores[number]
        for name, text, most in (("texts", net.text(place), LONGEST), ("headings", net.heading(place), NAMED)):
            points = contexts.characters(text)[:most]
            out[name][row, number, : len(points)] = points
        out["places"][row, number] = net.places[place].cpu().numpy()


def right_among(net: Library, places: Array, truths: tuple[str, ...], source: int) -> tuple[int, Array]:
    """The place of the first right passage among those listed, -1 = none; and the documents that hold the answer."""
    document = net.places[:, 0].cpu().numpy()
    able = [n for n, place in enumerate(places.tolist()) if source == UNNAMED or document[place] == source]
    right = [n for n in able if not truths or holds(net.text(int(places[n])), truths)]
    away = {int(document[places[n]]) for n in right} | ({source} if source >= 0 else set())
    return (right[0] if right else -1), np.array(sorted(away), np.int64)


def rarity_of(net: Library) -> Any:
    """Keys -> the idf of each; of one that no passage holds 0."""

    def rarity(keys: Array) -> Array:
        words = net.search.words.postings
        return words.idf()[words.places(keys)[1]]

    return rarity


def answer(prediction: Found, documents: list[str]) -> pl.DataFrame:
    """One row a question."""
    rows = []
    values = {name: getattr(prediction, name).cpu().numpy() for name in vars(prediction)}
    for row, found in enumerate(values["found"].tolist()):
        passages = [
            {
                "passage": contexts.written(values["texts"][row, n]),
                "document": documents[values["places"][row, n, 0]] if values["places"][row, n, 0] < len(documents) else "",
                "heading": contexts.written(values["headings"][row, n]),
                "begin": int(values["places"][row, n, 1]),
                "end": int(values["places"][row, n, 2]),
                "score": round(float(values["scores"][row, n]), 6),
            }
            for n in range(values["passages"].shape[1])
            if values["passages"][row, n] >= 0
        ]
        first = passages[0] if found and passages else {}
        begin, end = values["span"][row].tolist()
        words = {"answer": first["passage"][begin:end], "begin": first["begin"] + begin, "end": first["begin"] + end} if first else {}
        if words and (begin, end) == (0, len(first["passage"])):
            words["end"] = first["end"]
        kept = {name: first.get(name) for name in ("document", "heading", "score")}
        rows.append(
            {
                "answer": words.get("answer"),
                "confidence": round(float(values["chance"][row]), 6),
                **kept,
                "begin": words.get("begin"),
                "end": words.get("end"),
                "passages": passages,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


PASSAGE = {"passage": pl.String, "document": pl.String, "heading": pl.String, "begin": pl.Int64, "end": pl.Int64, "score": pl.Float64}
SCHEMA = {
    "answer": pl.String, "confidence": pl.Float64, "document": pl.String, "heading": pl.String, "score": pl.Float64,
    "begin": pl.Int64, "end": pl.Int64, "passages": pl.List(pl.Struct(PASSAGE)),
}  # fmt: skip
TOOLS = ("saw", "plane", "chisel", "锯子", "刨子", "墨斗", "hammer", "drill", "凿子", "曲尺")
PARTS = ("handle", "blade", "price", "maker", "weight")
WOODS = ("oak", "松木", "beech", "竹子", "iron")


def demo(count: int, seed: int) -> pl.DataFrame:
    """Three rows in five are passages, one for each tool and part; the others ask about one of them, its answer with it."""
    rng = np.random.default_rng(seed)
    pairs = [(tool, part) for tool in TOOLS for part in PARTS]
    facts = {
        pair: f"The {pair[1]} of the {pair[0]} is told here: {WOODS[int(rng.integers(5))]} and number {n}." for n, pair in enumerate(pairs)
    }
    passages = max(1, (3 * count) // 5)
    rows = [(None, None, facts[pairs[n % len(pairs)]], f"{pairs[n % len(pairs)][0]}.md") for n in range(passages)]
    rows += [
        (f"what of the {part} of {tool}?", facts[(tool, part)], None, None)
        for tool, part in (pairs[int(rng.integers(min(passages, len(pairs))))] for _ in range(count - passages))
    ]
    order = rng.permutation(len(rows))
    schema = {"question": pl.String, "answer": pl.String, "passage": pl.String, "document": pl.String}
    return pl.DataFrame([rows[n] for n in order], schema=schema, orient="row")
