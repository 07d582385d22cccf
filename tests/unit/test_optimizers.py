"""Optimizers against torch's, against singular values, and L2 against ridge regression by hand."""

from __future__ import annotations

import copy
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luban import pretrained
from luban.columns import Columns
from luban.draw import Draw
from luban.errors import TrainingError
from luban.models.gpt import Gpt
from luban.task import Loss
from luban.training import optimizers
from luban.training.adamw import QuickAdamW
from luban.training.loop import Trainer
from luban.training.muon import orthogonalise
from luban.training.settings import Training


def twins() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    one, other = (nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2)).double() for _ in range(2))
    other.load_state_dict(one.state_dict())
    return one, other


def run(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> Tensor:
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(7, 3, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not."""
    matrices, others = [p for p in net.parameters() if p.ndim >= 2], [p for p in net.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def test_adamw_is_torchs() -> None:
    net, oracle = twins()
    mine = run(net, optimizers.build(net, Training(learning_rate=0.03, weight_decay=0.2)))
    torch.testing.assert_close(mine, run(oracle, torch.optim.AdamW(groups(oracle, 0.2), lr=0.03, betas=(0.9, 0.99))))


def test_adamw_on_a_cpu_is_torchs_fused_one_to_the_bit_and_each_reads_the_others_state() -> None:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2), nn.Linear(2, 2)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    quick, oracle = (
        QuickAdamW(groups(nets[0], 0.1), lr=0.02, fused=True),
        torch.optim.AdamW(groups(nets[1], 0.1), lr=0.02, fused=True),
    )
    versions = [p._version for p in nets[0].parameters()]
    for turn in range(6):
        x = torch.randn(7, 5)
        for net, optimizer in zip(nets, (quick, oracle), strict=True):
            optimizer.zero_grad()
            net[:3](x).square().sum().backward()  # the last layer has no gradient
            optimizer.step()
        if turn == 2:
            mine, others = (copy.deepcopy(optimizer.state_dict()) for optimizer in (quick, oracle))
            quick.load_state_dict(others)
            oracle.load_state_dict(mine)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert [p._version > before for p, before in zip(nets[0].parameters(), versions, strict=True)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_sgd_is_torchs(momentum: float) -> None:
    net, oracle = twins()
    settings = Training(optimizer="sgd", learning_rate=0.01, weight_decay=0.0, momentum=momentum)
    other = torch.optim.SGD(oracle.parameters(), lr=0.01, momentum=momentum)
    torch.testing.assert_close(run(net, optimizers.build(net, settings)), run(oracle, other))


def test_weight_decay_of_sgd_is_decoupled_by_hand() -> None:
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, 2.0)
    nn.init.constant_(net.bias, 3.0)
    optimizer = optimizers.build(net, Training(optimizer="sgd", learning_rate=0.1, weight_decay=0.5, momentum=0.9))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert net.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))
    assert net.bias.item() == 3.0


def test_gradient_descent_has_no_momentum() -> None:
    net, oracle = twins()
    mine = run(net, optimizers.build(net, Training(optimizer="gd", learning_rate=0.01, momentum=0.9)))
    torch.testing.assert_close(mine, run(oracle, torch.optim.SGD(oracle.parameters(), lr=0.01)))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "gd", "muon"])
def test_biases_and_norms_never_decay(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(2))
    net(torch.zeros(2, 1, 5, 5))
    for group in optimizers.build(net, Training(optimizer=name, weight_decay=0.3)).param_groups:  # type: ignore[arg-type]
        decay = group.get("decoupled_decay", 0.0) + group.get("weight_decay", 0.0)
        assert {p.ndim >= 2 for p in group["params"]} == {decay == 0.3}


class Quick(nn.Module):
    learning_rate = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)


class Slow(Quick):
    learning_rate = 0.25
    weight_decay = 0.125


def test_each_architecture_has_its_own_rate_unless_the_recipe_says() -> None:
    net = nn.Sequential(Quick(), Slow(), nn.Linear(2, 1))

    def rates(**settings: Any) -> dict[str, tuple[float, float]]:
        by_id = {id(p): (g["lr"], g["weight_decay"]) for g in optimizers.build(net, Training(**settings)).param_groups for p in g["params"]}
        return {name: by_id[id(p)] for name, p in net.named_parameters() if name.endswith("weight")}

    assert rates() == {"0.inner.weight": (0.5, 0.01), "1.inner.weight": (0.25, 0.125), "2.weight": (1e-3, 0.01)}
    assert set(rates(learning_rate=0.1, weight_decay=0.0).values()) == {(0.1, 0.0)}


def test_each_parameter_is_stepped_once_and_frozen_ones_never() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    net[2].weight = net[0].weight  # tied
    net[1].requires_grad_(False)
    listed = [id(p) for g in optimizers.build(net, Training()).param_groups for p in g["params"]]
    assert sorted(listed) == sorted({id(net[0].weight), id(net[0].bias), id(net[2].bias)})


def test_nothing_to_train_is_a_named_error() -> None:
    with pytest.raises(TrainingError, match="L310"):
        optimizers.build(nn.Linear(2, 2).requires_grad_(False), Training())


# --- Muon


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(43, 11), (11, 43), (37, 37)])
def test_muon_turns_a_matrix_into_the_nearest_orthogonal_one(shape: tuple[int, int], precision: torch.dtype) -> None:
    u, _ = torch.linalg.qr(torch.randn(shape[0], shape[0]))
    v, _ = torch.linalg.qr(torch.randn(shape[1], shape[1]))
    short = min(shape)
    values = torch.linspace(0.05, 1.0, short)
    near = orthogonalise(u[:, :short] * values @ v[:short], precision)
    assert near.dtype == torch.float32
    assert 0.6 < torch.linalg.svdvals(near).min() <= torch.linalg.svdvals(near).max() < 1.25
    exact = u[:, :short] @ v[:short]
    assert (near * exact).sum() / near.norm() / exact.norm() > 0.97


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.conv, self.hidden = nn.Embedding(37, 41), nn.Conv2d(5, 33, 3), nn.Linear(45, 34)
        self.head = nn.Linear(34, 3)


def test_muon_steps_hidden_matrices_so_and_the_rest_by_adam() -> None:
    torch.manual_seed(0)
    net, oracle = Net(), Net()
    oracle.load_state_dict(net.state_dict())
    optimizer = optimizers.build(net, Training(optimizer="muon", learning_rate=0.1, weight_decay=0.2, momentum=0.0))
    others = [p for name, p in oracle.named_parameters() if name not in ("conv.weight", "hidden.weight")]
    matrices = [p for p in others if p.ndim >= 2]
    rest = [{"params": matrices, "weight_decay": 0.2}, {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0}]
    plain = torch.optim.AdamW(rest, lr=0.1, betas=(0.9, 0.95))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    gradient = {name: torch.randn_like(p) for name, p in net.named_parameters()}
    for (name, p), q in zip(net.named_parameters(), oracle.parameters(), strict=True):
        p.grad, q.grad = gradient[name].clone(), gradient[name].clone()
    optimizer.step()
    plain.step()
    for (name, p), q in zip(net.named_parameters(), oracle.parameters(), strict=True):
        if name in ("conv.weight", "hidden.weight"):
            update = orthogonalise(gradient[name].flatten(1)).view_as(p) * 0.2 * max(p.shape[0], p[0].numel()) ** 0.5
            torch.testing.assert_close(p.detach(), before[name] * (1 - 0.1 * 0.2) - 0.1 * update)
            assert 0.1 < (update.square().mean().sqrt()) < 0.3, "as large as a step of Adam"
        else:
            torch.testing.assert_close(p, q)


# --- L2 as the articles have it: J(θ) = 1/2m Σ (h(x) - y)² + λ/2m θ₁²


class Line:
    """x = 1, 2, 3 and y = 1, 2, 2. With λ = 1: θ₁ = Sxy / (Sxx + λ) = 1 / (2 + 1), θ₀ = 5/3 - 2 θ₁ = 1, J = (2/9 + 1/9) / 6 = 1/18."""

    x, y = np.array([1.0, 2.0, 3.0], np.float32), np.array([1.0, 2.0, 2.0], np.float32)

    def collate(self, examples: Columns, draw: Draw) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(examples["x"])[:, None], torch.from_numpy(examples["y"])[:, None]

    def build(self) -> nn.Module:
        return nn.Linear(1, 1)

    def losses(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> Generator[Loss, Tensor, None]:
        yield Loss((net(batch[0]) - batch[1]).square().mean() / 2, len(batch[0]))

    def predict(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return net(batch[0])


@pytest.mark.parametrize(("penalty", "bias", "slope"), [(1.0, 1.0, 1 / 3), (0.0, 2 / 3, 1 / 2)])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_l2_is_ridge_regression_with_a_free_bias(penalty: float, bias: float, slope: float, accumulation: int) -> None:
    examples = Columns({"x": Line.x, "y": Line.y}, np.arange(3))
    settings = Training(
        optimizer="gd", learning_rate=0.3, steps=300, l2=penalty, clip_norm=0.0, schedule="constant", warmup=0.0, precision="float32", device="cpu",
        accumulation=accumulation,
    )  # fmt: skip
    net = Trainer(Line(), examples, settings).run().finish()
    assert net.bias.item() == pytest.approx(bias, abs=1e-5)
    assert net.weight.item() == pytest.approx(slope, abs=1e-5)
    cost = (np.square(slope * Line.x + bias - Line.y).sum() + penalty * slope**2) / 6
    assert cost == pytest.approx(1 / 18 if penalty else 1 / 36, rel=1e-6)


def rates(net: nn.Module, **settings: Any) -> set[float]:
    return {round(group["base_rate"], 6) for group in optimizers.build(net, Training(**settings)).param_groups}


def test_an_architecture_may_state_a_rate_for_muon_which_a_checkpoint_does_not_ask_for() -> None:
    narrow, net = (Gpt(Gpt.Config(width=width, heads=2, layers=1, context=8), 31) for width in (48, 192))
    assert rates(narrow, optimizer="muon") == {0.02}, "twice the rate at a quarter of the width"
    assert rates(net, optimizer="muon") == {0.01}
    assert rates(net, optimizer="muon", learning_rate=0.3) == {0.3}
    assert rates(net) == {net.learning_rate}
    pretrained.prepare(net, pretrained.Adapting(pretrained="folder", adapt="full"))
    assert rates(net, optimizer="muon") == {optimizers.DEFAULT_RATE["muon"]}
    assert rates(nn.Linear(40, 40), optimizer="muon") == {optimizers.DEFAULT_RATE["muon"]}
