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


def favour(logits: Tensor, said: Tensor, spans: Sequence[Spans], nats: float, ends: tuple[int, ...]) -> None:
    """Add to what goes on with a span that was begun, and take from an end without one of them, in place.

    logits (R, V); said (R, T) without what was given; spans of each row.
    """
    for row, (tokens, wanted) in enumerate(zip(said.tolist(), spans, strict=True)):
        if not wanted:
            continue
        going = {span[count] for span in wanted if (count := begun(tokens, span))}
        for token in going:
            logits[row, token] += nats
        lacking = sum(not within(tokens, span) for span in wanted)
        if lacking:
            logits[row, list(ends)] -= nats * lacking


def begun(tokens: Sequence[int], span: Sequence[int]) -> int:
    """How many tokens of a span the answer ends with, when not all of it."""
    for count in range(min(len(span) - 1, len(tokens)), 0, -1):
        if list(tokens[-count:]) == list(span[:count]):
            return count
    return 0


def within(tokens: Sequence[int], span: Sequence[int]) -> bool:
    """Whether the span stands somewhere in the answer."""
    size, wanted = len(span), list(span)
    return any(list(tokens[place : place + size]) == wanted for place in range(len(tokens) - size + 1))
