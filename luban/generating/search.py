"""Answers to sources by models of role "seq2seq": greedy and beam search in batches sorted by length, whatever the net is made of.

    marks = Marks(start=(begin,), end=(end,), never=(pad,))
    found = answers(net, [np.array([5, 9, 7]), …], Search(beams=4, best=2, max_tokens=60), marks)
    found[0][0].tokens, .score, .chance, .finish     # the best answer to the first source; found[0] holds the `best`, best first
    for token, log in stream(net, source, settings, marks): …   # greedy, as it is said

`starts` gives each source a beginning of its own (a language to answer in), all of one length; `keep` each its numbers and names (`restraint.favour`).
B sources at work, M beams of each, R = B·M rows of answers, V tokens known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.errors import DataError
from luban.generating.beams import Beams, Hypothesis
from luban.generating.restraint import Marks, Spans
from luban.generating.settings import Search
from luban.messages import tr

ROWS = 128  # of answers at work, unless one source has more beams
CELLS = 16_384  # tokens of sources read at once, padding included

__all__ = ["Hypothesis", "Marks", "Search", "answers", "stream"]


@dataclass(frozen=True)
class Asked:
    """One source and what its answer must heed."""

    tokens: np.ndarray
    start: tuple[int, ...]
    spans: Spans = field(default=())


def answers(
    net: Any,
    sources: Sequence[np.ndarray],
    settings: Search,
    marks: Marks,
    *,
    starts: Sequence[Sequence[int]] | None = None,
    keep: Sequence[Spans] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """For each source its `settings.best` answers, best first, fewer where no more can be said; `progress` hears how many sources are done.

    Raises DataError L680 for a source longer than the context, L681 for beginnings of several lengths or beyond the context.
    """
    check(net, sources, marks, starts)
    spans = keep if keep is not None and settings.keep else [()] * len(sources)
    asked = [Asked(source, tuple(starts[n]) if starts else marks.start, spans[n]) for n, source in enumerate(sources)]
    found: list[list[Hypothesis]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda place: -len(sources[place]))  # the longest first: what does not fit is known at once
    done = 0
    for rows in batches(order, sources, settings.width):
        for row, hypotheses in zip(rows, together(net, [asked[row] for row in rows], settings, marks), strict=True):
            found[row] = hypotheses
        done += len(rows)
        if progress is not None:
            progress(done)
    return found


def batches(order: Sequence[int], sources: Sequence[np.ndarray], width: int) -> Iterator[list[int]]:
    """Sources of like lengths, as many as fit; `order` begins with the longest."""
    place = 0
    while place < len(order):
        longest = max(1, len(sources[order[place]]))
        count = max(1, min(ROWS // width, CELLS // longest))
        yield list(order[place : place + count])
        place += count


@torch.inference_mode()
def together(net: Any, asked: Sequence[Asked], settings: Search, marks: Marks) -> list[list[Hypothesis]]:
    """The answers to one batch of sources."""
    work, memory, cache, logits = begin(net, asked, settings, marks)
    while True:
        rows = work.say(logits)
        if not work.alive:
            return [found[: settings.best] for found in work.found]
        if (kept := work.compact(rows)) is not None:
            memory, rows = memory.reorder(kept[0].to(work.device)), kept[1]
        if rows is not None:
            cache.reorder(rows)
        logits = net.logits(net.hidden(work.last.to(work.device), memory, cache=cache)[:, -1])
        cache.lengths[: len(work.last)] += 1


@torch.inference_mode()
def begin(net: Any, asked: Sequence[Asked], settings: Search, marks: Marks) -> tuple[Beams, Any, Any, Tensor]:
    """Read the sources and what the answers begin with: the beams, the memory, the cache, and (B, V) logits of the first token."""
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    source, known = padded([one.tokens for one in asked])
    start = torch.tensor([one.start for one in asked])  # (B, P)
    least, most = lengths(known.sum(1), settings, net.context - start.shape[1])
    work = Beams(start, least, most, settings, marks, [one.spans for one in asked], device)
    memory = net.encode(source.to(device), known.to(device))
    cache = net.cache(len(asked) * settings.width, start.shape[1] + int(most.max()))
    logits = net.logits(net.hidden(start.to(device), memory, cache=cache)[:, -1])
    cache.lengths[: len(asked)] += start.shape[1]
    return work, memory, cache, logits


def padded(sources: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(B, S) tokens, 0 beyond the end, and (B, S) which are there."""
    count = torch.tensor([len(source) for source in sources])
    tokens = torch.zeros(len(sources), max(1, int(count.max())), dtype=torch.int64)
    for row, source in enumerate(sources):
        tokens[row, : len(source)] = torch.from_numpy(np.asarray(source, np.int64))
    return tokens, torch.arange(tokens.shape[1]) < count[:, None]


def lengths(read: Tensor, settings: Search, room: int) -> tuple[Tensor, Tensor]:
    """(B,) tokens of the sources -> (B,) tokens of an answer at least and at most."""
    most = torch.full_like(read, min(settings.max_tokens, room))
    if settings.max_ratio:
        most = torch.minimum(most, (settings.max_ratio * read.double()).floor().long() + settings.spare)
    most = most.clamp(min=1)
    least = torch.maximum(torch.full_like(read, settings.min_tokens), (settings.min_ratio * read.double()).ceil().long())
    return torch.minimum(least, most), most


def stream(
    net: Any, source: np.ndarray, settings: Search, marks: Marks, *, start: Sequence[int] | None = None, spans: Spans = ()
) -> Iterator[tuple[int, float]]:
    """Each token of the likeliest answer and the logarithm of its chance, as soon as it is said; the end is left out.

    Greedy whatever `settings.beams` says: beams change their minds. Raises DataError L680, L681.
    """
    check(net, [source], marks, None if start is None else [start])
    settings = replace(settings, beams=1, best=1)
    asked = Asked(source, marks.start if start is None else tuple(start), spans if settings.keep else ())
    work, memory, cache, logits = begin(net, [asked], settings, marks)
    while True:
        with torch.inference_mode():
            work.say(logits)
            said, log = work.newest()
        if said not in marks.end:
            yield said, log
        if not work.alive:
            return
        with torch.inference_mode():
            logits = net.logits(net.hidden(work.last.to(work.device), memory, cache=cache)[:, -1])
            cache.lengths[:1] += 1


def check(net: Any, sources: Sequence[np.ndarray], marks: Marks, starts: Sequence[Sequence[int]] | None) -> None:
    """Raises DataError L680 for a source longer than the context, L681 for beginnings of several lengths or beyond the context."""
    longest = max((len(source) for source in sources), default=0)
    if longest > net.context:
        what, fix = tr("a source is longer than the context"), tr("cut it into parts, or train with a larger context")
        raise DataError("L680", what, received=tr("{n} tokens", n=longest), allowed=[tr("at most {n}", n=net.context)], fix=fix)
    found = {len(start) for start in starts} if starts else {len(marks.start)}
    if len(found) > 1 or not 0 < max(found) < net.context:
        what = tr("answers must begin with as many tokens each, one at least and fewer than the context")
        raise DataError("L681", what, received=sorted(found), allowed=[f"1 … {net.context - 1}"])
