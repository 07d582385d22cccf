"""From logits to what is said: the next token of each answer, and those after it as far as the guesses before them are what it says.

A answers, N places = A and all guesses, V tokens known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luban.generating.answer import Answer
from luban.generating.sampling import choose, draw
from luban.generating.settings import Generation
from luban.tokenizing.tokenizer import Tokenizer

Place = tuple[Answer, list[int]]  # an answer, and the guesses behind it that stand before this place


def say(answers: Sequence[Answer], guesses: Sequence[list[int]], logits: Tensor, tokenizer: Tokenizer, capacity: int) -> None:
    """By (N, V) logits, those of each answer after its last token and after each of its guesses, in this order.

    What is said at a place hangs on what stands before it alone: it is true as long as all guesses before it are.
    """
    logits = logits.float().cpu()
    places = [(answer, guess[:count]) for answer, guess in zip(answers, guesses, strict=True) for count in range(len(guess) + 1)]
    bind(logits, places)
    settings = [answer.settings for answer, _ in places]
    seen = [standing(*place) for place in places] if repeats(settings) else [logits] * len(places)
    draws = [draw(answer.key, len(answer.tokens) + len(before)) for answer, before in places]
    found = choose(logits, settings, seen, draws).tolist()
    true = [row for row, (_, before) in enumerate(places) if before == found[row - len(before) : row]]
    logits = logits if len(true) == len(places) else logits[true]
    whole = logits.logsumexp(-1)
    logs = (logits.gather(-1, torch.tensor([found[row] for row in true])[:, None])[:, 0] - whole).tolist()
    for place, row in enumerate(true):
        answer = places[row][0]
        if answer.finish:
            continue
        if answer.top:
            best = logits[place].topk(min(answer.top, logits.shape[1]))
            answer.tops.append(list(zip(best.indices.tolist(), (best.values - whole[place]).tolist(), strict=True)))
        answer.append(found[row], logs[place], tokenizer, capacity)


def bind(logits: Tensor, places: Sequence[Place]) -> None:
    """Put to -inf, in place, what an answer may not say at a place."""
    for row, (answer, before) in enumerate(places):
        if answer.allowed is not None and (allowed := answer.allowed([*answer.tokens, *before])) is not None:
            logits[row, ~allowed] = -torch.inf


def standing(answer: Answer, before: list[int]) -> Tensor:
    """All tokens before a place."""
    return torch.from_numpy(np.r_[answer.prompt, np.array([*answer.tokens, *before], np.int64)])


def repeats(settings: Sequence[Generation]) -> bool:
    """Whether any answer looks at what was said."""
    return any(one.repetition_penalty != 1 for one in settings)
