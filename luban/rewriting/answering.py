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
from luban.generating.restraint import Marks
from luban.generating.settings import Search
from luban.rewriting.batch import Answers, Batch
from luban.rewriting.copying import keepable, lost
from luban.rewriting.windows import joined
from luban.tokenizing.tokenizer import Tokenizer

NOTHING = -math.inf  # the chance of an answer that there is not


def said(net: Any, batch: Batch, own: Tokenizer, settings: Search, special: int) -> Answers:
    """The answers to the rows that are to be answered; `special` is the first id that is no token of a text."""
    source, known, windows, wanted = (part.cpu() for part in (batch.source, batch.known, batch.windows, batch.answered))
    asked = torch.repeat_interleave(wanted, windows).tolist()  # (W,)
    sources = [row[there].numpy() for row, there, one in zip(source, known, asked, strict=True) if one]
    if hasattr(net, "rewrite"):
        found = [[search.Hypothesis(tokens, [log], log, "stop")] for tokens, log in net.rewrite(sources)] if sources else []
        settings = replace(settings, best=1)
    else:
        keep = spans_of(sources, own, special) if settings.keep else None
        found = search.answers(net, sources, settings, marks_of(own, special, net.num_tokens), keep=keep)
    parts = [part for one in found for part in (one + [None] * settings.best)[: settings.best]]  # (W · N,)
    tokens = [np.array([id for id in part.tokens if id < special] if part else [], np.int64) for part in parts]
    text = known & (source != own.stops[0]) & (source < special)  # (W, S)
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


def marks_of(own: Tokenizer, special: int, num_tokens: int) -> Marks:
    """What begins and ends an answer; tags are never said."""
    begin = own.stops[0] if own.begin is None else own.begin
    return Marks(start=(begin,), end=own.stops, never=tuple(range(special, num_tokens)))


def spans_of(sources: list[np.ndarray], own: Tokenizer, special: int) -> list[list[list[int]]]:
    """Tokens of the numbers and names of each source, as they stand in it."""
    found = []
    for source in sources:
        ids = source[(source < special) & ~np.isin(source, own.stops)]
        text = own.decode(ids.tolist())
        names = keepable(text)
        spaced = [f" {name}" if f" {name}" in text else name for name in names]
        tokens = own.encode(spaced) if spaced else None
        found.append([tokens[place].tolist() for place in range(len(spaced))] if tokens is not None else [])
    return found


def texts_of(prediction: Answers, own: Tokenizer, best: int) -> Iterator[list[tuple[str, list[int], float, bool]]]:
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
            text, joins = joined([own.decode(flat[ends[part] : ends[part + 1]].tolist()) for part in parts])
            chance = float(logs[parts].sum() / max(1, counts[parts].sum()))
            rows.append((text, joins, chance, bool(finish[parts].all())))
        place += windows * best
        yield rows


def best_of(prediction: Answers) -> int:
    """N, from the shapes."""
    total = int(prediction.windows.sum())
    return max(1, len(prediction.lengths) // total) if total else 1


def sources_of(prediction: Answers, own: Tokenizer) -> list[str]:
    """The rows' sources as text."""
    ends = np.r_[0, np.cumsum(prediction.read.numpy())]
    flat = prediction.source.numpy()
    return [own.decode(flat[a:b].tolist()).strip() for a, b in pairwise(ends)]


def frame_of(prediction: Answers, own: Tokenizer) -> pl.DataFrame:
    """`text`, `confidence`, `finish`, the `alternatives` with theirs, numbers and names that were `lost`, the `windows` and where they were joined."""
    best = best_of(prediction)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    for found, source in zip(texts_of(prediction, own, best), sources_of(prediction, own), strict=True):
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
    return torch.where(prediction.decoded, (total / count.clamp(min=1)).exp(), 0.0)


def streamed(net: Any, batch: Batch, own: Tokenizer, settings: Search, special: int) -> Iterator[pl.DataFrame]:
    """Frames of `row`, `text`, and `finish` with the last; windows one after the other, bytes of a character held back until it is whole."""
    place = 0
    for row, windows in enumerate(batch.windows.tolist()):
        whole, ended = "", True
        for window in range(place, place + windows):
            source = batch.source[window][batch.known[window]].cpu().numpy()
            told, ids = "", list[int]()
            for ids in growing(net, source, own, settings, special):
                text = own.decode(ids)
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


def growing(net: Any, source: np.ndarray, own: Tokenizer, settings: Search, special: int) -> Iterator[list[int]]:
    """The tokens said so far, one more each time; at once of a model that has no steps."""
    if hasattr(net, "rewrite"):
        yield [id for id in net.rewrite([source])[0][0] if id < special]
        return
    ids: list[int] = []
    spans = spans_of([source], own, special)[0] if settings.keep else ()
    for id, _ in search.stream(net, source, settings, marks_of(own, special, net.num_tokens), spans=spans):
        ids.append(id)
        yield ids
