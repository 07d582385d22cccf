"""Counts of n-grams against the same equations written plainly, with dictionaries and fractions of counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from luban.models.kneser_ney import KneserNey, discounts

TOKENS, ORDER = 7, 4


@dataclass(frozen=True)
class Batch:
    """The fields a solved model may read."""

    tokens: Tensor
    targets: Tensor
    segments: Tensor | None = None


def texts() -> np.ndarray:
    """Rows in which what follows hangs on the last two."""
    rng = np.random.default_rng(0)
    rows = np.zeros((23, 31), np.int64)
    for row in rows:
        for place in range(2, 31):
            row[place] = (2 * row[place - 1] + row[place - 2] + rng.integers(0, 3)) % TOKENS
    return rows


class Plain:
    """Chen and Goodman 1998, eq. 26 and 27, read aloud."""

    def __init__(self, rows: np.ndarray) -> None:
        grams: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(ORDER + 1)]
        before: list[dict[tuple[int, ...], set[int]]] = [defaultdict(set) for _ in range(ORDER + 1)]
        for row in rows.tolist():
            for end in range(1, len(row)):
                for size in range(1, min(ORDER, end + 1) + 1):
                    gram = tuple(row[end + 1 - size : end + 1])
                    grams[size][gram] += 1
                    before[size][gram].add(row[end - size] if end - size >= 0 else -1)
        self.counts = (
            [Counter[tuple[int, ...]]()] + [Counter({g: len(b) for g, b in before[n].items()}) for n in range(1, ORDER)] + [grams[ORDER]]
        )
        self.discounts = [discounts(np.array(list(found.values()))) if found else np.zeros(4) for found in self.counts]

    def chance(self, context: tuple[int, ...], token: int) -> float:
        """Of one token after a context."""
        size = len(context) + 1
        lower = self.chance(context[1:], token) if context else 1 / TOKENS
        found = {gram[-1]: n for gram, n in self.counts[size].items() if gram[:-1] == context}
        if not found:
            return lower
        total, cut = sum(found.values()), self.discounts[size]
        own = max(0.0, found.get(token, 0) - cut[min(3, found.get(token, 0))]) / total
        rest = sum(cut[min(3, n)] for n in found.values()) / total
        return own + rest * lower


def solved(entries: int = 4096) -> KneserNey:
    """On all rows."""
    rows = torch.from_numpy(texts())
    net = KneserNey(KneserNey.Config(order=ORDER, entries=entries, context=64), TOKENS)
    list(net.solve([Batch(rows[:11, :-1], rows[:11, 1:]), Batch(rows[11:, :-1], rows[11:, 1:])]))
    return net


def test_chances_are_those_of_the_equations() -> None:
    plain, net = Plain(texts()), solved()
    tokens = torch.from_numpy(np.random.default_rng(5).integers(0, TOKENS, (4, 13)))
    found = net.logits(net.hidden(tokens)).exp()
    torch.testing.assert_close(found.sum(-1), torch.ones(4, 13), rtol=1e-5, atol=0)
    for row in range(4):
        for place in range(13):
            context = tuple(tokens[row, max(0, place + 2 - ORDER) : place + 1].tolist())
            wanted = [plain.chance(context, token) for token in range(TOKENS)]
            np.testing.assert_allclose(found[row, place].numpy(), wanted, rtol=1e-4)


def test_where_room_is_short_chances_still_sum_to_one() -> None:
    rng = np.random.default_rng(1)
    rows = torch.from_numpy(rng.integers(0, 60, (40, 60)))
    net = KneserNey(KneserNey.Config(order=5, entries=1024, context=64), 60)
    list(net.solve([Batch(rows[:, :-1], rows[:, 1:])]))
    found = net.logits(net.hidden(rows[:5])).exp()
    torch.testing.assert_close(found.sum(-1), torch.ones(5, 60), rtol=1e-4, atol=0)
    assert int((net.contexts < np.iinfo(np.int64).max).sum()) <= 1024


def test_what_was_never_seen_is_as_likely_as_anything() -> None:
    net = KneserNey(KneserNey.Config(), 11)
    torch.testing.assert_close(net.logits(net.hidden(torch.arange(6)[None])).exp(), torch.full((1, 6, 11), 1 / 11))


@pytest.mark.parametrize("count", [[1, 1, 1], [5, 5], [1, 2, 3, 4, 9], [1] * 50 + [2] * 20 + [3] * 9 + [4] * 5])
def test_discounts_are_between_nothing_and_the_count(count: list[int]) -> None:
    found = discounts(np.array(count))
    assert found[0] == 0
    assert (found[1:] > 0).all()
    assert (found[1:] < [1, 2, 3]).all()
