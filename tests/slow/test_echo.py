"""The articles' echo: an encoder–decoder of 173,608 parameters learns to copy sequences of up to ten tokens, by its loss and search alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luban.generating.search import Marks, answers
from luban.generating.settings import Search
from luban.language.answering import confidence, judged, loss, pairs_of
from luban.models.encoder_decoder import EncoderDecoder

pytestmark = pytest.mark.slow
PAD, BEGIN, END, TOKENS = 0, 1, 2, 40
ECHO = EncoderDecoder.Config(
    width=64, layers=2, heads=4, hidden=128, context=12, positions="learned", norm="layer", activation="relu", bias=True, qk_norm=False,
    tied=False, head_bias=True, zero_init=False,
)  # fmt: skip


def sequences(generator: np.random.Generator, count: int) -> list[np.ndarray]:
    """Of one to ten tokens."""
    return [generator.integers(3, TOKENS, length) for length in generator.integers(1, 11, count)]


@pytest.mark.parametrize("beams", [1, 4])
def test_the_echo_copies_every_sequence(beams: int, learnt: EncoderDecoder) -> None:
    """200 of 200 that it never saw, with either search; what it is sure of is what it says."""
    asked = sequences(np.random.default_rng(1), 200)
    found = answers(learnt, asked, Search(beams=beams, max_tokens=11), Marks(start=(BEGIN,), end=(END,), never=(PAD, BEGIN)))
    assert [one.tokens for (one,) in found] == [row.tolist() for row in asked]
    with torch.inference_mode():
        sure = confidence(*judged(learnt, pairs_of(asked, asked, start=[BEGIN], end=END)))
    assert sure.tolist() == pytest.approx([one.confidence for (one,) in found], abs=1e-3)
    assert sure.mean() > 0.95


@pytest.fixture(scope="module")
def learnt() -> EncoderDecoder:
    """Adam at 1e-3, 1,500 steps of 64."""
    torch.manual_seed(0)
    net = EncoderDecoder(ECHO, TOKENS)
    assert sum(parameter.numel() for parameter in net.parameters()) == 173_608
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    generator = np.random.default_rng(0)
    for _ in range(1500):
        rows = sequences(generator, 64)
        total, count = loss(net, pairs_of(rows, rows, start=[BEGIN], end=END))
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    return net.eval()
