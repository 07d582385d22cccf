"""Upper blocks tuned on few labels: what lies below is said once, rows come in batches of like lengths, and the work is bounded."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from luban.kinds.text import Text
from luban.layers import upper
from luban.models import probe
from luban.models.bert import Bert
from luban.models.probe import Probe, Rows, held_folds
from luban.tokenizing import subwords


@pytest.fixture
def encoder() -> Any:
    """Three small blocks."""
    parts = subwords.train(["good bad row news"] * 3, 60, lowercase=True)
    torch.manual_seed(0)
    config = Bert.Config(width=16, layers=3, heads=2, feed=32, vocabulary=60, dropout=0.0, attention_dropout=0.0)
    return Bert(config, {"cell": Text.adopt(parts, Text.Config(max_length=200), 200)}).eval()


def texts(rows: int, longest: int) -> torch.Tensor:
    """(rows, longest) ids, each row of another length."""
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 50, (rows, longest), generator=draw)
    lengths = torch.randint(1, longest + 1, (rows, 1), generator=draw)
    return tokens * (torch.arange(longest) < lengths)


def test_the_upper_blocks_over_what_lies_below_say_what_the_encoder_says(encoder: Any) -> None:
    inputs = {"cell": texts(70, 40)}
    lower = upper.lowered(encoder, inputs)
    assert lower.depth == 2
    assert len(lower) == 70
    with torch.no_grad():
        whole = torch.cat([F.normalize(encoder({"cell": inputs["cell"][row : row + 1]}), dim=1) for row in range(70)])
    torch.testing.assert_close(upper.vectors(encoder, lower), whole, atol=1e-5, rtol=0)
    some = torch.tensor([5, 3, 60])
    torch.testing.assert_close(upper.vectors(encoder, lower.take(some)), whole[some], atol=1e-5, rtol=0)


def test_only_the_first_tokens_of_a_long_text_are_looked_at(encoder: Any) -> None:
    long = torch.randint(1, 50, (4, 190), generator=torch.Generator().manual_seed(3))
    lower = upper.lowered(encoder, {"cell": long})
    assert lower.known.shape == (4, upper.LONGEST)
    torch.testing.assert_close(lower.states, upper.lowered(encoder, {"cell": long[:, : upper.LONGEST]}).states)


@pytest.mark.parametrize("rows", [40, 1000])
def test_batches_hold_every_row_once_and_those_of_many_rows_are_alike_in_length(rows: int) -> None:
    lengths = torch.randint(1, 129, (rows,), generator=torch.Generator().manual_seed(2))
    draw = torch.Generator().manual_seed(0)
    first, second = (list(upper.batches(lengths, draw)) for _ in range(2))
    for found in (first, second):
        assert sorted(torch.cat(found).tolist()) == list(range(rows))
        assert max(len(batch) for batch in found) == upper.ROWS
    assert not torch.equal(torch.cat(first), torch.cat(second)), "each pass has an order of its own"
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in first)
    assert (padded < 1.2 * int(lengths.sum())) == (rows == 1000)


@pytest.mark.parametrize("way", ["contrastive", "classified"])
def test_tuning_draws_rows_of_a_label_together(encoder: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upper, "RATE", 1e-2)  # so small a net learns nothing at a checkpoint's rate
    inputs, target = {"cell": texts(64, 12)}, torch.arange(64) % 2
    inputs["cell"][:, 0] = 1 + target
    lower = upper.lowered(encoder, inputs)
    tuned = copy.deepcopy(encoder)
    upper.tune(tuned, lower, target, way, 12)
    before, after = (nearness(upper.vectors(one, lower), target) for one in (encoder, tuned))
    assert after > before + 0.05
    assert not any(parameter.requires_grad for parameter in tuned.blocks[-1].parameters())


def nearness(vectors: torch.Tensor, target: torch.Tensor) -> float:
    """Mean cosine within labels, less that between them."""
    alike = target[:, None] == target
    near = vectors @ vectors.T
    return float(near[alike].mean() - near[~alike].mean())


def test_operations_are_six_a_weight_and_token(encoder: Any) -> None:
    learnt = 4 * (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16) + 4 * 16  # attention, feed-forward, two norms
    tokens = texts(10, 30)
    assert upper.operations(encoder, {"cell": tokens}) == 6 * learnt * 10 * (int((tokens > 0).sum(1).max()) + 1)
    many = texts(upper.POOL * upper.ROWS, 30)
    assert upper.operations(encoder, {"cell": many}) == 6 * learnt * (int((many > 0).sum()) + len(many))


@pytest.mark.parametrize(("rows", "folds"), [(6, 3), (160, 3), (600, 2), (900, 1), (1500, 1)])
def test_of_many_rows_one_part_held_out_tells_enough(rows: int, folds: int) -> None:
    assert held_folds(np.arange(rows) % 2) == folds


def test_more_rows_may_take_more_work_but_not_any(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(count: int, adapt: str) -> int:
        net = Probe(Probe.Config(adapt=adapt), [encoder], 2, aim="label")  # type: ignore[arg-type]
        return net.passes(Rows({"cell": torch.ones(count, 9, dtype=torch.int64)}, np.arange(count) % 2, None))

    each = upper.operations(encoder, {"cell": torch.ones(1, 9, dtype=torch.int64)})
    monkeypatch.setattr(probe, "WORK", 30 * 60 * each)
    monkeypatch.setattr(probe, "WORK_OF_A_ROW", 8 * each)
    monkeypatch.setattr(probe, "MOST_WORK", 9000 * each)
    assert [passes(count, "contrastive") for count in (60, 600, 1200, 3000, 6000)] == [12, 8, 7, 3, 0]
    assert passes(60, "auto") == 6  # two ways on two thirds in three folds, and the last: five trainings
    assert passes(1200, "auto") == 3


def test_tuning_heeds_the_time_that_is_left(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Batches(list[Any]):
        seconds = 0.0

    tuned: list[int] = []
    monkeypatch.setattr(upper, "tune", lambda *args: tuned.append(args[-1]))
    inputs, target = {"cell": texts(40, 20)}, torch.arange(40) % 2
    for seconds, passes in ((float("inf"), {probe.MOST_PASSES}), (0.0, {probe.LEAST_PASSES})):
        batches = Batches([SimpleNamespace(inputs=inputs, target=target, weights=None)])
        batches.seconds = seconds
        net = Probe(Probe.Config(adapt="contrastive"), [encoder], 2, aim="label")
        with torch.no_grad():
            assert list(net.solve(batches))[-1] == 1.0
        assert set(tuned) == passes
        tuned.clear()
    net = Probe(Probe.Config(adapt="auto"), [encoder], 2, aim="label")
    with torch.no_grad():
        list(net.solve(batches))
    assert net.way == "frozen"
    assert not tuned
