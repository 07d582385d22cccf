"""One step: counts weigh, parts step by themselves, pools are whole, what is not finite moves nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.errors import TrainingError
from luban.task import Loss, Pool
from luban.training.settings import Training
from luban.training.step import NotFinite, Stepper

Losses = Callable[[Any, Tensor], Generator[Loss | Pool, Tensor, None]]


class Given:
    """A task of nothing but its losses."""

    def __init__(self, losses: Losses) -> None:
        self.losses = losses


def stepper(losses: Losses, net: nn.Module, **changes: Any) -> Stepper:
    settings = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.5, "clip_norm": 0.0} | changes
    return Stepper(Given(losses), net, Training(**settings), rows=10)


def line(weight: float = 0.0) -> nn.Linear:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, weight)
    return net


def squares(net: nn.Module, x: Tensor) -> Generator[Loss, Tensor, None]:
    yield Loss((net(x) - 2 * x).square().mean(), len(x))


def test_counts_weigh_micro_batches_by_hand() -> None:
    net = line()
    found = stepper(squares, net).step([torch.tensor([[1.0]]), torch.tensor([[2.0], [3.0], [3.0]])], number=0, rate=1.0)
    #  mean over four rows of (0 - 2x)² = 4 · (1 + 4 + 9 + 9) / 4; its slope at 0 is -4 · 23 / 4
    assert found == {"loss": pytest.approx(23.0)}
    assert net.weight.item() == pytest.approx(0.5 * 23.0)


def test_a_batch_without_a_target_weighs_nothing() -> None:
    def losses(net: nn.Module, x: Tensor) -> Generator[Loss, Tensor, None]:
        known = x[x[:, 0] > 0]
        yield Loss((net(known) - 2 * known).square().mean() if len(known) else net(x).sum() * 0, len(known))

    one, other = line(), line()
    stepper(losses, one).step([torch.tensor([[1.0], [-5.0]]), torch.tensor([[-1.0]])], number=0, rate=1.0)
    stepper(squares, other).step([torch.tensor([[1.0]])], number=0, rate=1.0)
    assert torch.equal(one.weight, other.weight)
    nothing = line(0.3)
    assert stepper(losses, nothing).step([torch.tensor([[-1.0]])], number=0, rate=1.0) == {"loss": 0.0}
    assert nothing.weight.item() == pytest.approx(0.3)


def test_the_rate_of_the_schedule_scales_the_step() -> None:
    net = line()
    stepper(squares, net).step([torch.tensor([[1.0]])], number=0, rate=0.25)
    assert net.weight.item() == pytest.approx(0.25 * 0.5 * 4)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    net = line()
    stepper(squares, net, clip_norm=1.0).step([torch.tensor([[9.0]])], number=0, rate=1.0)
    assert net.weight.item() == pytest.approx(0.5, rel=1e-4)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = line(1.0), line(1.0)


def test_each_part_is_stepped_before_the_next_loss_is_computed() -> None:
    seen: list[float] = []

    def losses(net: Two, x: Tensor) -> Generator[Loss, Tensor, None]:
        yield Loss((net.first.weight * net.second.weight).sum(), 1, "first")
        seen.append(net.first.weight.item())
        yield Loss((net.first.weight * net.second.weight).sum(), 1, "second")

    net = Two()
    made = stepper(losses, net)
    found = made.step([torch.zeros(1, 1), torch.zeros(1, 1)], number=0, rate=1.0)
    assert found == {"first": 1.0, "second": 0.5}
    assert seen == [0.5, 0.5], "a micro-batch went on before all had stepped"
    assert (net.first.weight.item(), net.second.weight.item()) == (0.5, 0.75)
    assert set(made.optimizers) == {"first", "second"}


def contrast(net: nn.Module, x: Tensor) -> Generator[Loss | Pool, Tensor, None]:
    values = yield Pool(F.normalize(net(x), dim=1))
    yield Loss(F.cross_entropy(values @ values.T / 0.1, (torch.arange(len(values)) + 1) % len(values)), len(values))


@pytest.mark.parametrize("cut", [(11,), (5, 6), (1, 7, 3), (1,) * 11])
def test_a_pool_holds_the_whole_step_however_it_is_cut(cut: tuple[int, ...]) -> None:
    x = torch.randn(11, 3, dtype=torch.float64)
    net, oracle = (nn.Linear(3, 5, dtype=torch.float64) for _ in range(2))
    oracle.load_state_dict(net.state_dict())
    values = F.normalize(oracle(x), dim=1)
    loss = F.cross_entropy(values @ values.T / 0.1, (torch.arange(11) + 1) % 11)
    loss.backward()
    before = net.weight.detach().clone()
    found = stepper(contrast, net).step(list(x.split(cut)), number=0, rate=1.0)
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(net.weight, before - 0.5 * oracle.weight.grad, rtol=1e-10, atol=1e-12)  # type: ignore[operator]


def test_a_pool_after_a_loss_is_refused() -> None:
    def losses(net: nn.Module, x: Tensor) -> Generator[Loss | Pool, Tensor, None]:
        yield Loss(net(x).mean(), 1)
        yield Pool(net(x))

    with pytest.raises(TrainingError, match="L311"):
        stepper(losses, line()).step([torch.ones(2, 1)], number=0, rate=1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_moves_no_weight(value: float) -> None:
    net = line(0.7)
    with pytest.raises(NotFinite):
        stepper(squares, net).step([torch.tensor([[1.0]]), torch.tensor([[value]])], number=0, rate=1.0)
    assert net.weight.item() == pytest.approx(0.7)


def test_an_infinite_gradient_of_a_finite_loss_moves_no_weight() -> None:
    def losses(net: nn.Module, x: Tensor) -> Generator[Loss, Tensor, None]:
        yield Loss((net.weight - 0.7).abs().sqrt().sum(), 1)

    net = line(0.7)
    with pytest.raises(NotFinite):
        stepper(losses, net, clip_norm=1.0).step([torch.ones(1, 1)], number=0, rate=1.0)
    assert net.weight.item() == pytest.approx(0.7)


def test_dropout_depends_on_seed_step_micro_batch_and_turn_alone() -> None:
    seen: list[list[float]] = []

    def losses(net: nn.Module, x: Tensor) -> Generator[Loss, Tensor, None]:
        for _ in range(2):
            seen.append(F.dropout(torch.ones(64)).tolist())
            yield Loss(net(x).sum(), 1)

    def masks(number: int, seed: int) -> list[list[float]]:
        seen.clear()
        torch.rand(number + 5)
        stepper(losses, line(), seed=seed).step([torch.ones(1, 1)] * 3, number=number, rate=0.0)
        return list(seen)

    first = masks(4, 0)
    assert first == masks(4, 0)
    assert len({tuple(mask) for mask in [*first, *masks(5, 0), *masks(4, 1)]}) == 18
