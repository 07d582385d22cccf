"""A head on frozen vectors: solved as its formulas say, its penalty from held-out rows; contrast by hand; what tuning may move."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from toys import checkpoint

from luban.layers import heads
from luban.layers.upper import contrast, depth_of
from luban.models.probe import Probe, cut
from luban.recipe import parse
from luban.training.loop import fresh
from luban.training.solving import Passes, solve


def points(seed: int, labels: int, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Clouds around the corners of a cube."""
    rng, target = np.random.default_rng(seed), np.repeat(np.arange(labels), each)
    return rng.normal(0, 0.7, (len(target), 5)) + np.eye(5)[target] * 3, target


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_the_gradient_of_the_penalised_likelihood_is_zero(labels: int) -> None:
    features, target = points(0, labels)
    weight, bias = heads.logistic(features, target, labels, None, 0.1)
    logits = features @ weight + bias
    chance = np.exp(logits - logits.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    gradient = features.T @ (chance - np.eye(labels)[target]) + weight * ((2 if labels == 2 else 1) / 0.1)
    assert np.abs(gradient).max() < 2e-2
    assert (logits.argmax(1) == target).mean() > 0.95


def test_one_output_is_the_logit_of_the_second_of_two() -> None:
    features, target = points(1, 2)
    weight, bias = heads.fit_head(features, target, aim="label", outputs=1)
    assert weight.shape == (5, 1)
    assert (((features @ weight + bias)[:, 0] > 0) == (target == 1)).mean() > 0.95


def test_a_label_without_rows_is_out_of_reach_and_rows_count_by_their_weight() -> None:
    features, target = points(2, 3)
    weight, bias = heads.fit_head(features, np.where(target == 2, 4, target), aim="label", outputs=5)
    assert set((features @ weight + bias).argmax(1)) == {0, 1, 4}
    once, again = (heads.logistic(np.r_[features, features[:7]], np.r_[target, target[:7]], 3, None, 0.1),
                   heads.logistic(features, target, 3, np.r_[np.full(7, 2.0), np.ones(53)], 0.1))  # fmt: skip
    np.testing.assert_allclose(once[0], again[0], atol=2e-3)


def test_the_penalty_is_that_of_the_least_loss_on_rows_held_out() -> None:
    features, target = points(3, 3)
    noise = np.random.default_rng(3).normal(size=(60, 40))
    part = heads.fold_of(target, 4)
    assert [np.bincount(target[part == fold]).tolist() for fold in range(4)] == [[5, 5, 5]] * 4
    lost = {one: heads.held_out(np.c_[features, noise], target, 3, None, one, part) for one in heads.STRENGTHS}
    chosen = heads.labels(np.c_[features, noise], target, 3, None)[0]
    best = heads.logistic(np.c_[features, noise], target, 3, None, min(lost, key=lost.__getitem__))[0]
    np.testing.assert_array_equal(chosen, best)


def test_numbers_are_told_by_ridge_regression() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(80, 5))
    target = features @ [1, -2, 0, 0.5, 3] + 7 + rng.normal(0, 0.01, 80)
    weight, bias = heads.fit_head(features, target, aim="number", outputs=1)
    np.testing.assert_allclose(weight[:, 0], [1, -2, 0, 0.5, 3], atol=0.02)
    assert bias[0] == pytest.approx(7, abs=0.02)


def test_contrast_is_the_sum_written_out() -> None:
    torch.manual_seed(0)
    vectors, target = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 2, 1, 0, 3])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    terms = []
    for i in range(7):
        mates = [j for j in range(7) if j != i and target[j] == target[i]]
        others = sum(torch.exp(unit[i] @ unit[j] / 0.1) for j in range(7) if j != i)
        if mates:
            terms.append(-sum(torch.log(torch.exp(unit[i] @ unit[j] / 0.1) / others) for j in mates) / len(mates))
    torch.testing.assert_close(contrast(vectors, target), sum(terms) / len(terms))
    assert contrast(vectors[:2], target[:2]) == 0


def test_batches_of_rising_lengths_hold_every_row_once() -> None:
    lengths = torch.tensor([1, 3, 3, 900, 4000, 8191, 8192, 9000])
    groups = cut(torch.arange(8), lengths)
    assert torch.cat(groups).tolist() == list(range(8))
    assert all(int(lengths[group].max()) * len(group) <= 8192 or len(group) == 1 for group in groups)


def solved(adapt: str) -> tuple[Any, Any]:
    """A probe over reviews, and the encoder as it was."""
    model = {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": adapt}
    made = parse({"task": "classification", "data": "x", "target": "label", "inputs": {"review": "text"}, "model": model}).make_task()
    table = checkpoint.reviews(60)
    task = type(made)(made.config, made.fit(table))
    net = fresh(task)
    before = {name: value.clone() for name, value in net.encoders.state_dict().items()}
    solve(task, net, task.encode(table), seed=0, folder=None, tell=lambda *_, **__: None)
    return net, before


@pytest.mark.parametrize("adapt", ["frozen", "contrastive"])
def test_tuning_moves_the_upper_layers_alone(adapt: str) -> None:
    net, before = solved(adapt)
    moved = {name for name, value in net.encoders.state_dict().items() if not torch.equal(value, before[name])}
    upper = {f"0.blocks.{layer}" for layer in range(depth_of(net.encoders[0]), 2)}
    assert {".".join(name.split(".")[:3]) for name in moved} == (upper if adapt == "contrastive" else set())
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_the_way_is_chosen_on_rows_held_out_and_said() -> None:
    net, before = solved("auto")
    assert net.way in ("frozen", "contrastive", "classified")
    if net.way == "frozen":
        assert all(torch.equal(value, before[name]) for name, value in net.encoders.state_dict().items()), "what was tried was put back"


def test_vectors_do_not_depend_on_how_rows_are_batched() -> None:
    net, _ = solved("frozen")
    torch.manual_seed(0)
    tokens = torch.randint(5, 60, (13, 9))
    for row in range(13):
        tokens[row, 2 + row % 8 :] = 0
    whole = net.vectors({"review": tokens})
    torch.testing.assert_close(
        torch.cat([net.vectors({"review": tokens[row : row + 1]}) for row in range(13)]), whole, rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(13))


def test_rows_without_a_label_are_left_out() -> None:
    model = {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "frozen"}
    made = parse({"task": "classification", "data": "x", "target": "label", "inputs": {"review": "text"}, "model": model}).make_task()
    table = checkpoint.reviews(60)
    task = type(made)(made.config, made.fit(table))
    holes = table.with_columns(label=pl.when(pl.arange(60) < 10).then(None).otherwise(pl.col("label")))
    found = []
    for rows in (holes, table[10:]):
        net = fresh(task)
        with torch.no_grad():
            list(net.solve(Passes(task, task.encode(rows), 0)))
        found.append(net.weight)
    assert isinstance(net, Probe)
    torch.testing.assert_close(*found)
