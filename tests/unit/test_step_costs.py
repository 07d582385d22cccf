"""What a step costs: least squares against planted costs, bytes and operations against hand counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from luban import cores
from luban.columns import Columns
from luban.planning.costs import features, fit, middle
from luban.planning.memory import activation_bytes, bytes_of, bytes_of_columns, optimizer_bytes
from luban.planning.steps import RECURRENT, bytes_of_forms, epoch_of, try_steps
from luban.tasks.classification import Classification
from luban.training import optimizers
from luban.training.settings import Training


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(37, 41), nn.Linear(41, 3)  # 37·41 + 41 + 41·3 + 3 = 1684 parameters

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(x).relu())


def test_planted_costs_are_found() -> None:
    rng = np.random.default_rng(0)
    costs = np.stack([rng.integers(1, 64, 40), rng.integers(5, 300, 40)], 1).astype(float)
    true = np.array([3e-3, 2e-5, 0.0, 4e-6, 0.0])
    found = fit(costs, features(costs) @ true)
    assert found.seconds(costs) == pytest.approx(features(costs) @ true, rel=1e-6)
    noisy = features(costs) @ true * rng.normal(1, 0.03, 40)
    far = np.array([[128.0, 512.0]])
    assert fit(costs, noisy).seconds(far)[0] == pytest.approx((features(far) @ true)[0], rel=0.1)
    assert (fit(costs, noisy).weights >= 0).all()


def test_rows_alone_are_a_line_and_one_cost_a_mean() -> None:
    costs = np.array([[16.0, 1.0], [5.0, 1.0]])
    assert fit(costs, np.array([0.018, 0.007])).seconds(np.array([[64.0, 1.0]]))[0] == pytest.approx(0.066, rel=1e-6)
    assert fit(costs[:1], np.array([0.018])).seconds(costs[:1])[0] == 0.018


def test_parts_of_batches_that_were_all_alike_say_what_whole_ones_take() -> None:
    found = fit(np.array([[4.0, 256.0]] * 3), np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(found.seconds(np.array([[4.0, 256.0], [32.0, 256.0]])), [0.2, 1.6])


def test_what_comes_once_in_a_hundred_is_left_out_but_not_the_rest() -> None:
    values = np.array([1.0] * 90 + [2.0] * 5 + [900.0] * 5)
    assert middle(values) == pytest.approx((90 + 10) / 95)
    assert middle(np.array([3.0])) == 3.0


@pytest.mark.parametrize(
    ("name", "momentum", "numbers", "steps"),
    [("adamw", 0.9, 2 * 1684, 4), ("adam", 0.9, 2 * 1684, 4), ("sgd", 0.9, 1684, 0), ("sgd", 0.0, 0, 0), ("gd", 0.9, 0, 0)],
)
def test_optimizer_bytes_are_those_of_its_state(name: Any, momentum: float, numbers: int, steps: int) -> None:
    net, settings = Net(), Training(optimizer=name, momentum=momentum)
    optimizer = optimizers.build(net, settings)
    net(torch.ones(2, 37)).sum().backward()
    optimizer.step()
    held = sum(t.numel() * t.element_size() for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor))
    assert optimizer_bytes(optimizer.param_groups, name, momentum) == held == 4 * (numbers + steps)


def test_muon_keeps_one_number_for_hidden_matrices_and_two_for_the_rest() -> None:
    net = Net()
    optimizer = optimizers.build(net, Training(optimizer="muon"))
    hidden, rest = 37 * 41, 41 + 41 * 3 + 3  # the last matrix has a short side
    assert optimizer_bytes(optimizer.param_groups, "muon", 0.9) == 4 * (hidden + 2 * rest + 3)


def test_shared_storage_counts_once() -> None:
    a = torch.zeros(11, 7)
    assert bytes_of([a, a.T, a[:3]]) == 4 * 77


def test_activations_are_those_a_linear_net_saves() -> None:
    net, x = Net(), torch.randn(19, 37)
    total, groups = activation_bytes(net, x, lambda: net(x).sum())
    assert total == 4 * 19 * 41  # relu's answer, which is also the last layer's input; x itself is no activation
    assert sum(groups.values()) == total
    assert set(groups) <= {"hidden", "out", "loss"}


def test_operations_of_recurrent_layers_are_counted() -> None:
    layer = nn.LSTM(7, 5, batch_first=True)
    with FlopCounterMode(display=False, custom_mapping=RECURRENT) as counter:
        layer(torch.randn(3, 11, 7))[0].sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 3 * 11 * 4 * 5 * (7 + 5)  # forward once, backward twice as much


def table(rows: int) -> tuple[Any, Columns]:
    rng = np.random.default_rng(0)
    import polars as pl

    frame = pl.DataFrame({"a": rng.normal(size=rows), "y": rng.choice(["p", "q", "r"], rows)})
    model = {"kind": "mlp", "size": "small", "hidden": [23], "numbers": "plain"}
    task = Classification(Classification.Config(inputs={"a": {"kind": "number"}}, target="y", model=model))
    task = Classification(task.config, task.fit(frame))
    return task, task.encode(frame)


def test_a_trial_counts_parameters_operations_and_steps() -> None:
    task, rows = table(211)
    steps, epoch, trial = try_steps(task, rows, Training(epochs=7, batch_size=16, threads=1), patience=0.3, room=1e12)
    linear = [module for module in task.build().modules() if isinstance(module, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linear]
    assert steps.trained == sum(p.numel() for p in task.build().parameters())
    first, *others = [a * b for a, b in sizes]
    assert steps.flops == 2 * 16 * (2 * first + 3 * sum(others))  # no gradient of the inputs
    assert (steps.epochs, len(epoch.batches)) == (7, 14)
    assert epoch.count == 14
    assert steps.parts.weights == steps.parts.gradients == 4 * steps.trained
    assert steps.measured >= 2
    assert (steps.cost.seconds(epoch.costs()) > 0).all()
    assert bytes_of_columns(rows) == steps.parts.data
    assert trial.divisor == 1


def test_where_memory_does_not_suffice_parts_of_batches_are_tried() -> None:
    task, rows = table(997)
    settings = Training(epochs=2, batch_size=256, threads=1)
    whole, _, _ = try_steps(task, rows, settings, patience=0.2, room=1e12)
    part, _, trial = try_steps(task, rows, settings, patience=0.2, room=whole.parts.activations / 4)
    assert max(len(chosen) for chosen in trial.chosen) <= 64
    assert part.share < 0.5
    assert part.parts.activations == pytest.approx(whole.parts.activations, rel=0.1)


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_of_parts_the_trial_is_foreseen_where_there_is_one(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "multiply_halves", lambda: True)
    task, rows = table(900)
    settings = Training(epochs=1, batch_size=256, threads=1, precision=precision)
    whole, _, _ = try_steps(task, rows, settings, patience=0.2, room=1e12)
    part, _, trial = try_steps(task, rows, settings, patience=0.2, room=whole.parts.activations / 4)
    assert trial.divisor > 1
    assert (part.settle_s > 0) == (precision == "auto")


def test_an_epoch_of_more_rows_has_more_batches() -> None:
    _, rows = table(211)
    assert epoch_of(rows, 16, 0, scale=10.0).count == pytest.approx(140)
    sized = replace(rows, size=np.full(len(rows), 5))
    assert set(epoch_of(sized, 16, 0, scale=1.0).costs()[:, 1]) == {5.0}


def test_memory_that_rises_with_every_new_form_of_batches_is_carried_on_to_all_forms() -> None:
    def bytes_of(held: list[int], sizes: list[int], steps: int | None) -> float:
        longest = np.array(sizes)
        costs = np.stack([np.full(len(longest), 16.0), longest.astype(float)], 1)
        epoch = SimpleNamespace(sizes=longest, costs=lambda: costs, count=len(costs))
        trial: Any = SimpleNamespace(held=held, chosen=[0] * 12, epoch=epoch, net=nn.Linear(1, 1))
        return bytes_of_forms(trial, Training(steps=steps, epochs=None), 1.0)

    rising = [500, 900, 950, *range(1000, 1045, 5)]  # 5 for each of the last
    assert bytes_of(rising, list(range(100)), 1000) == 5 * (100 - 12)
    assert bytes_of(rising, list(range(100)), 40) == 5 * (40 - 12)  # no more forms than steps
    assert bytes_of([*rising[:-1], 2000], list(range(100)), 1000) == 5 * (100 - 12)  # what an allocator takes once is no form's
    assert bytes_of(rising, list(range(1000)), 100_000) == 5 * (128 - 12)  # no more than a library keeps
    assert bytes_of([*rising, 9999, 9999], list(range(100)), 1000) == 5 * (100 - 12)  # the second time nothing is new
    assert bytes_of([*rising[:3], *[1000] * 9], list(range(100)), 1000) == 0
    assert bytes_of(rising, [7] * 100, 1000) == 0
    assert bytes_of(rising[:3], list(range(100)), 1000) == 0  # too few to say
