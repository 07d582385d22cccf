"""From logits to a token, each row by its own settings; the draw is computed from seed, prompt and place, so neighbours change nothing.

A rows, V tokens. In this order, as transformers has it: repetition, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luban.draw import key_of
from luban.generating.settings import Generation

FIRST = 256  # of the likeliest are looked at before all are sorted


def choose(logits: Tensor, settings: Sequence[Generation], seen: Sequence[Tensor], draws: Sequence[float]) -> Tensor:
    """(A, V) logits, the tokens that already stand in each row, and a number in (0, 1) for each -> (A,) tokens."""
    if any(one.repetition_penalty != 1 for one in settings):
        logits = logits.clone()
        for row, (one, tokens) in enumerate(zip(settings, seen, strict=True)):
            penalise(logits[row], one.repetition_penalty, tokens)
    likeliest = logits.argmax(-1)
    drawn = [row for row, one in enumerate(settings) if one.temperature > 0]
    if not drawn:
        return likeliest
    rows = torch.tensor(drawn)
    heat = torch.tensor([settings[row].temperature for row in drawn])[:, None]
    found = sample(logits[rows].float() / heat, [settings[row] for row in drawn], torch.tensor([draws[row] for row in drawn]))
    likeliest[rows] = found
    return likeliest


def penalise(logits: Tensor, penalty: float, tokens: Tensor) -> None:
    """Make tokens already there less likely, in place. (V,)."""
    if penalty != 1:
        found = logits[tokens]
        logits[tokens] = torch.where(found > 0, found / penalty, found * penalty)


def sample(scaled: Tensor, settings: Sequence[Generation], draws: Tensor) -> Tensor:
    """(A, V) logits over the temperature -> (A,): the token at which the cumulated chances pass the draw."""
    if all(one.top_k == 0 and one.top_p == 1 and one.min_p == 0 for one in settings):
        return at(scaled.softmax(-1), draws)
    k = torch.tensor([one.top_k or scaled.shape[1] for one in settings])[:, None]
    p, least = (torch.tensor([getattr(one, name) for one in settings])[:, None] for name in ("top_p", "min_p"))
    count = min(scaled.shape[1], max(FIRST, int(k.max()) if all(one.top_k for one in settings) else 0))
    whole = scaled.logsumexp(-1, keepdim=True)
    while True:
        top, tokens = scaled.topk(count, sorted=True) if count < scaled.shape[1] else scaled.sort(dim=-1, descending=True, stable=True)
        chance = (top - whole).exp()  # (A, count)
        chance = chance * (torch.arange(count) < k)
        chance = chance / torch.where(k <= count, chance.sum(-1, keepdim=True), 1.0)  # of the first k; else of all
        before = chance.cumsum(-1) - chance
        # what was looked at decides where it holds all that may be chosen, or passes the draw: the rest is less likely
        settled = (k <= count) | (chance.sum(-1, keepdim=True) >= p) | (least * chance[:, :1] > chance[:, -1:])
        if count == scaled.shape[1] or bool(settled.all()):
            break
        count = scaled.shape[1]
    kept = (before < p) & (chance >= least * chance[:, :1]) & (chance > 0)
    kept[:, 0] = True
    chance = chance * kept
    return tokens.gather(-1, at(chance, draws)[:, None])[:, 0]


def at(chance: Tensor, draws: Tensor) -> Tensor:
    """(A, V) chances up to a factor, (A,) draws -> (A,) the first place at which their sum passes the draw; never one without a chance."""
    total = chance.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(total, draws[:, None].double() * total[:, -1:], right=True)[:, 0].clamp(max=chance.shape[1] - 1)


def key_of_prompt(seed: int, prompt: np.ndarray) -> int:
    """What an answer's draws hang on."""
    return key_of(seed, np.ascontiguousarray(prompt, np.int64).tobytes().hex())


def draw(key: int, place: int) -> float:
    """In (0, 1), for the token at a place of the answer."""
    return ((key_of(key, place) >> 11) + 0.5) / 2**53
