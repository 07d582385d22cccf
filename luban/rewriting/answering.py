"""Sources to answers: by search where the model says token by token, at once where it does not; windows put together again.

B rows, W windows of their sources, N answers of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luban.generating import search
from luban.generating.settings import Search
from luban.language.answering import confidence
from luban.rewriting.batch import Answers, Batch
from luban.rewriting.copying import keepable, lost
from luban.rewriting.sides import Sides
from luban.rewriting.windows import joined

NOTHING = -math.inf  # the chance of an answer that there is not


def said(net: Any, batch: Batch, sides: Sides, settings: Search) -> Answers:
    """The answers to the rows that are to be answered."""
    source, known, windows, wanted = (part.cpu() for part in (batch.source, batch.known, batch.windows, batch.answered))
    asked = torch.repeat_interleave(wanted, windows).tolist()  # (W,)
    sources = [row[there].numpy() for row, there, one in zip(source, known, asked, strict=True) if one]
    text = known & (source != sides.end) & (torch.arange(source.shape[1]) >= batch.lead.cpu()[:, None])  # (W, S)
    if hasattr(net, "rewrite"):
        found = [[search.Hypothesis(tokens, [log], log, "stop")] for tokens, log in net.rewrite(sources)] if sources else []
        settings = replace(settings, best=1)
    else:
        texts = [row[there].tolist() for row, there, one in zip(source, text, asked, strict=True) if one]
        keep = spans_of(texts, sides) if settings.keep else None
        found = search.answers(net, sources, settings, sides.marks(net.num_tokens), keep=keep)
    parts = [part for one in found for part in (one + [None] * settings.best)[: settings.best]]  # (W · N,)
    tokens = [np.array([id for id in part.tokens if id < sides.special] if part else [], np.int64) for part in parts]
    owner = torch.repeat_interleave(torch.arange(len(wanted)), windows)
    return Answers(
        tokens=torch.from_numpy(np.concatenate([*tokens, np.zeros(0, np.int64)])),
        lengths=torch.tensor([len(part) for part in tokens], dtype=torch.int64),
        logs=torch.tensor([part.log_chance if part else NOTHING for part in parts], dtype=torch.float64),
        counts=torch.tensor([len(part.logs) if part else 0 for part in parts], dtype=torch.int64),
        finish=torch.tensor([int(part is not None and part.finish == "stop") for part in parts], dtype=torch.int64),
        windows=torch.where(wanted, windows, 0),
        decoded=wanted,
        source=source[text],
        read=torch.zeros(len(wanted), dtype=torch.int64).index_add_(0, owner, text.sum(1)),
    )


def spans_of(sources: list[list[int]], sides: Sides) -> list[list[list[int]]]:
    """Tokens of the numbers and names of each source's text, as they would stand in its answer."""
    found = []
    for source in sources:
        text = sides.decode(source)
        names = keepable(text)
        spaced = [f" {name}" if f" {name}" in text else name for name in names]
        tokens = sides.answer.encode(spaced) if spaced else None
        found.append([tokens[place].tolist() for place in range(len(spaced))] if tokens is not None else [])
    return found


def texts_of(prediction: Answers, sides: Sides, best: int) -> Iterator[list[tuple[str, list[int], float, bool]]]:
    """For each answered row its answers: the text, where windows were joined (characters), the mean log chance of a token, whether all ended."""
    ends = np.r_[0, np.cumsum(prediction.lengths.numpy())]
    flat, logs = prediction.tokens.numpy(), prediction.logs.numpy()
    counts, finish, place = prediction.counts.numpy(), prediction.finish.numpy(), 0
    for windows in prediction.windows.tolist():
        rows = []
        for number in range(best if windows else 0):
            parts = [place + window * best + number for window in range(windows)]
            if any(counts[part] == 0 and number for part in parts):
                continue
            text, joins = joined([sides.decode(flat[ends[part] : ends[part + 1]].tolist()) for part in parts])
            chance = float(logs[parts].sum() / max(1, counts[parts].sum()))
            rows.append((text, joins, chance, bool(finish[parts].all())))
        place += windows * best
        yield rows


def best_of(prediction: Answers) -> int:
    """N, from the shapes."""
    total = int(prediction.windows.sum())
    return max(1, len(prediction.lengths) // total) if total else 1


def sources_of(prediction: Answers, sides: Sides) -> list[str]:
    """The rows' sources as text."""
    ends = np.r_[0, np.cumsum(prediction.read.numpy())]
    flat = prediction.source.numpy()
    return [sides.decode(flat[a:b].tolist()).strip() for a, b in pairwise(ends)]


def frame_of(prediction: Answers, sides: Sides) -> pl.DataFrame:
    """`text`, `confidence`, `finish`, the `alternatives` with theirs, numbers and names that were `lost`, the `windows` and where they were joined."""
    best = best_of(prediction)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    for found, source in zip(texts_of(prediction, sides, best), sources_of(prediction, sides), strict=True):
        text, joins, chance, ended = found[0] if found else ("", [], 0.0, False)
        columns["text"].append(text)
        columns["confidence"].append(round(math.exp(chance), 4) if found else None)
        columns["finish"].append("stop" if ended else "length")
        columns["alternatives"].append([{"text": other, "confidence": round(math.exp(log), 4)} for other, _, log, _ in found[1:]])
        columns["lost"].append(lost(source, text))
        columns["joins"].append(joins)
    return pl.DataFrame(columns, schema=SCHEMA)


SCHEMA = {
    "text": pl.String,
    "confidence": pl.Float64,
    "finish": pl.String,
    "alternatives": pl.List(pl.Struct({"text": pl.String, "confidence": pl.Float64})),
    "lost": pl.List(pl.String),
    "joins": pl.List(pl.Int64),
}


def confidence_of(prediction: Answers) -> Tensor:
    """(B,) geometric mean of the chances of the best answer's tokens; 0 where none was asked for."""
    best = best_of(prediction)
    logs, counts = prediction.logs[::best], prediction.counts[::best]  # (windows,)
    owner = torch.repeat_interleave(torch.arange(len(prediction.windows)), prediction.windows)
    total = torch.zeros(len(prediction.windows), dtype=torch.float64).index_add_(0, owner, logs)
    count = torch.zeros(len(prediction.windows), dtype=torch.int64).index_add_(0, owner, counts)
    return confidence(-total, count)


def streamed(net: Any, batch: Batch, sides: Sides, settings: Search) -> Iterator[pl.DataFrame]:
    """Frames of `row`, `text`, and `finish` with the last; windows one after the other, bytes of a character held back until it is whole."""
    place = 0
    for row, windows in enumerate(batch.windows.tolist()):
        whole, ended = "", True
        for window in range(place, place + windows):
            source = batch.source[window][batch.known[window]].cpu().numpy()
            told, ids = "", list[int]()
            for ids in growing(net, source, int(batch.lead[window]), sides, settings):
                text = sides.decode(ids)
                if text.endswith("\ufffd"):
                    continue
                piece = begun(whole, text) if told == "" else text[len(told) :]
                told, whole = text, whole + piece
                if piece:
                    yield pl.DataFrame({"row": [row], "text": [piece], "finish": [""]})
            ended = ended and not is_cut(net, len(ids), len(source), settings)
        place += windows
        yield pl.DataFrame({"row": [row], "text": [""], "finish": ["stop" if ended else "length"]})


def begun(whole: str, text: str) -> str:
    """What the first words of a window add to a text."""
    return joined([whole, text])[0][len(whole) :] if whole else text.lstrip(" ")


def is_cut(net: Any, said: int, read: int, settings: Search) -> bool:
    """Whether an answer of so many tokens could not be longer."""
    if hasattr(net, "rewrite"):
        return False
    _, most = search.lengths(torch.tensor([read]), settings, net.context - 1)
    return said >= int(most[0])


def growing(net: Any, source: np.ndarray, lead: int, sides: Sides, settings: Search) -> Iterator[list[int]]:
    """The tokens said so far, one more each time; at once of a model that has no steps."""
    if hasattr(net, "rewrite"):
        yield [id for id in net.rewrite([source])[0][0] if id < sides.special]
        return
    ids: list[int] = []
    spans = spans_of([[id for id in source[lead:].tolist() if id != sides.end]], sides)[0] if settings.keep else ()
    for id, _ in search.stream(net, source, settings, sides.marks(net.num_tokens), spans=spans):
        ids.append(id)
        yield ids
