"""What an answer must not say next: suppressed tokens, an end too early, a run of tokens twice; and what is kept of its source.

R rows of answers, T tokens said so far, V tokens known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Spans = Sequence[Sequence[int]]  # tokens of each number or name of a source, as they would stand in an answer


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Tokens with a meaning of their own."""

    start: tuple[int, ...]
    """What every answer begins with before anything is said: a start token, and first tokens that are forced."""
    end: tuple[int, ...]
    """Any of these ends an answer."""
    never: tuple[int, ...] = ()
    """Never said: padding, a start token."""


def restrain(logits: Tensor, said: Tensor, least: Tensor, *, marks: Marks, no_repeat: int, given: int) -> None:
    """Put to -inf, in place, what must not be said next.

    logits (R, V); said (R, T) from the first of the `given` tokens it began with; least (R,) tokens that an answer has at least, the end not counted.
    """
    if marks.never:
        logits[:, list(marks.never)] = -torch.inf
    early = said.shape[1] - given < least  # (R,) the next token may not be the end
    if bool(early.any()):
        for end in marks.end:
            logits[:, end].masked_fill_(early, -torch.inf)
    if no_repeat and said.shape[1] >= no_repeat:
        forbid_repeats(logits, said, no_repeat)


def forbid_repeats(logits: Tensor, said: Tensor, size: int) -> None:
    """No token that would complete a run of `size` tokens already there."""
    runs = said.unfold(1, size, 1)  # (R, T - size + 1, size)
    tail = said[:, said.shape[1] - size + 1 :]  # (R, size - 1)
    again = (runs[..., :-1] == tail[:, None]).all(-1)  # (R, T - size + 1)
    rows, places = again.nonzero(as_tuple=True)
    logits[rows, runs[rows, places, -1]] = -torch.inf


@dataclass(frozen=True)
class Kept:
    """The spans of one source."""

    spans: tuple[tuple[int, ...], ...]
    inner: frozenset[int]
    """Tokens that one of them goes on after."""


def kept_of(spans: Spans) -> Kept:
    """Each span once; an empty one is none."""
    each = tuple(dict.fromkeys(tuple(span) for span in spans if len(span)))
    return Kept(each, frozenset(token for span in each for token in span[:-1]))


def favour(logits: Tensor, said: Tensor, kept: Sequence[Kept], nats: float, ends: Sequence[int], candidates: int) -> None:
    """Add to what goes on with a span that was begun, and take from an end for each span it leaves out, in place.

    logits (R, V); said (R, T) without what was given; what is kept of each row's source. An end that is not among the `candidates`
    best of its row is left as it is: it is not chosen either way.
    """
    last = said[:, -1].tolist() if said.shape[1] else [None] * len(said)
    near = torch.zeros(len(logits), dtype=torch.bool)
    for end in ends:
        near |= (logits > logits[:, end, None]).sum(1) < candidates
    for row, (token, one, may_end) in enumerate(zip(last, kept, near.tolist(), strict=True)):
        if not one.spans or not (may_end or token in one.inner):
            continue
        tokens = said[row].tolist()
        for following in {span[count] for span in one.spans if (count := begun(tokens, span))}:
            logits[row, following] += nats
        if may_end and (lacking := sum(not within(tokens, span) for span in one.spans)):
            logits[row, list(ends)] -= nats * lacking


def begun(tokens: Sequence[int], span: Sequence[int]) -> int:
    """How many tokens of a span the answer ends with, when not all of it."""
    wanted = list(span)
    for count in range(min(len(span) - 1, len(tokens)), 0, -1):
        if tokens[-1] == wanted[count - 1] and list(tokens[-count:]) == wanted[:count]:
            return count
    return 0


def within(tokens: Sequence[int], span: Sequence[int]) -> bool:
    """Whether the span stands somewhere in the answer."""
    size, wanted = len(span), list(span)
    places = range(len(tokens) - size + 1)
    return any(tokens[place] == wanted[0] and list(tokens[place : place + size]) == wanted for place in places)
