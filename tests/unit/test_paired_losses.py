"""Teaching answers: the batch by hand, the loss against torch's on whole logits, and batches with few gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from luban.data.sampler import Sampler
from luban.language.answering import confidence, judged, loss, padding, pairs_of, sizes
from luban.models.encoder_decoder import EncoderDecoder

SOURCES = [np.array([5, 6, 7]), np.array([8]), np.zeros(0, np.int64)]
ANSWERS = [np.array([9]), np.array([10, 11, 12]), np.array([13, 14])]


def net() -> EncoderDecoder:
    """With weights away from zero."""
    torch.manual_seed(1)
    made = EncoderDecoder(EncoderDecoder.Config(width=24, layers=1, heads=2, zero_init=False), 23)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def test_a_batch_by_hand() -> None:
    found = pairs_of(SOURCES, ANSWERS, start=[1], end=2)
    assert found.source.tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
    assert found.known.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert found.said.tolist() == [[1, 9, 0, 0], [1, 10, 11, 12], [1, 13, 14, 0]]
    assert found.targets.tolist() == [[9, 2, -1, -1], [10, 11, 12, 2], [13, 14, 2, -1]]


def test_what_answers_are_given_to_begin_with_is_not_asked_for() -> None:
    found = pairs_of(SOURCES[:1], ANSWERS[:1], start=[1, 4], end=2)
    assert found.said.tolist() == [[1, 4, 9]]
    assert found.targets.tolist() == [[-1, 9, 2]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_torchs_over_the_targets_that_are_there(smoothing: float) -> None:
    made, batch = net(), pairs_of(SOURCES, ANSWERS, start=[1], end=2)
    total, count = loss(made, batch, smoothing)
    logits = made(batch.source, batch.known, batch.said).flatten(0, 1)
    wanted = F.cross_entropy(logits, batch.targets.flatten(), ignore_index=-1, reduction="sum", label_smoothing=smoothing)
    assert count == 9
    torch.testing.assert_close(total, wanted)
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in made.parameters())


def test_scores_and_confidence_are_of_each_answer_alone() -> None:
    made, batch = net().eval(), pairs_of(SOURCES, ANSWERS, start=[1], end=2)
    with torch.inference_mode():
        nats, count = judged(made, batch)
        for row in range(3):
            alone = pairs_of(SOURCES[row : row + 1], ANSWERS[row : row + 1], start=[1], end=2)
            total, tokens = loss(made, alone)
            assert float(nats[row]) == pytest.approx(float(total), rel=1e-5)
            assert int(count[row]) == tokens
            assert float(confidence(nats, count)[row]) == pytest.approx(float(torch.exp(-total / tokens)), rel=1e-5)
    assert confidence(torch.zeros(1), torch.zeros(1)).tolist() == [0]


def drawn(answers: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of 20,000 pairs: log-normal sources, and answers that follow them or not."""
    generator = np.random.default_rng(0)
    source = np.exp(generator.normal(3.3, 0.6, 20_000)).astype(np.int64) + 2
    answer = (np.where(answers > 0, source * answers, 12) * np.exp(generator.normal(0, spread, 20_000))).astype(np.int64) + 1
    return source, answer


@pytest.mark.parametrize(("answers", "spread"), [(1.1, 0.15), (0.0, 0.4)])
def test_batches_hold_little_padding(answers: float, spread: float) -> None:
    """As translations have it, and as summaries, whose length does not follow the source's."""
    source, answer = drawn(answers, spread)
    sampler = Sampler(len(source), sizes(source, answer), 48, 1)
    batches = sampler.batches(0, 0)
    assert padding(source, answer, batches) <= 0.07
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(source)))


def test_sizes_are_the_sum_of_both_lengths_nearly() -> None:
    source, answer = drawn(0.0, 0.4)
    found = sizes(source, answer) / (source + answer)
    assert 1 / 1.0501 < found.min() <= found.max() < 1.0501
