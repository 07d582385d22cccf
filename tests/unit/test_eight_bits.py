"""Layers in 8 bits: by hand, against float64, whoever stands beside a token, and where a processor cannot do them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from luban.bundle import eight_bits as bits
from luban.layers import eight_bits
from luban.layers.eight_bits import Int8Linear
from luban.layers.lora import LoraLinear, attach
from luban.models.gpt import Gpt

either = pytest.mark.parametrize("exact", [True, False], ids=["in 8 bits", "in float32"])


@pytest.fixture(autouse=True)
def able(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that cannot do them, where a test asks for one."""
    if "exact" in request.fixturenames and not request.getfixturevalue("exact"):
        monkeypatch.setattr(eight_bits, "is_exact", lambda *, many: False)


@either
def test_by_hand(exact: bool) -> None:
    """Row scales 0.01 and 0.1; tokens of largest 1 and 2: (1, -0.5) is (127, -64) by 1/127."""
    layer = Int8Linear.of(torch.tensor([[1.27, -0.63], [0.0, 12.7]]), torch.tensor([1.0, 0.0]))
    assert layer.levels.tolist() == [[127, -63], [0, 127]]
    torch.testing.assert_close(layer.scale, torch.tensor([0.01, 0.1]))
    found = layer(torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.27, 0.0], [2.28, 25.4], [1.0, 0.0]]), atol=1e-5, rtol=1e-5)
    if exact and eight_bits.is_exact(many=False):
        half = layer(torch.tensor([[1.0, -0.5]]))
        torch.testing.assert_close(half, torch.tensor([[1 + 1.27 + 0.63 * 64 / 127, -12.7 * 64 / 127]]), atol=1e-5, rtol=1e-5)


@either
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 70, 600])
def test_close_to_the_layer_in_float64(rows: int, exact: bool) -> None:
    torch.manual_seed(rows)
    plain, x = torch.nn.Linear(96, 41), torch.randn(rows, 96) * torch.logspace(-6, 6, rows)[:, None]
    found = Int8Linear.of(plain.weight, plain.bias)(x).double()
    wanted = torch.nn.functional.linear(x.double(), plain.weight.double(), plain.bias.double())
    per_token = (found - wanted).norm(dim=1) / torch.nn.functional.linear(x.double(), plain.weight.double()).norm(dim=1)
    assert per_token.max() <= 0.02


@pytest.mark.parametrize("rows", [7, 40])
def test_a_token_does_not_know_its_neighbours(rows: int) -> None:
    """To the bit, were they ever so large; torch's own dynamic quantisation takes one range for all."""
    torch.manual_seed(0)
    layer, x = Int8Linear.of(torch.randn(33, 64), torch.randn(33)), torch.randn(rows, 64)
    loud = x.clone()
    loud[1:] *= 1000
    assert torch.equal(layer(x)[0], layer(loud)[0])
    torch.testing.assert_close(layer(x[:1])[0], layer(x)[0], atol=1e-5, rtol=1e-5)


def test_any_shape_a_copy_and_nothing_at_all() -> None:
    layer = Int8Linear.of(torch.randn(5, 8), None)
    x = torch.randn(2, 3, 8)
    first = layer(x)
    assert first.shape == (2, 3, 5)
    assert torch.equal(copy.deepcopy(layer)(x), first)
    assert layer(torch.zeros(0, 8)).shape == (0, 5)
    assert layer(torch.zeros(1, 8)).tolist() == [[0.0] * 5]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(value: float) -> None:
    x = torch.ones(2, 8)
    x[0, 3] = value
    found = Int8Linear.of(torch.ones(5, 8), None)(x)
    assert not found[0].isfinite().any()
    assert found[1].isfinite().all()


@pytest.mark.parametrize("many", [False, True])
def test_products_that_are_cut_off_are_found_out(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors that add pairs in 16 bits lose what is beyond."""
    name = "of_many" if many else "of_few"
    honest = getattr(eight_bits, name)

    def cut_off(levels: torch.Tensor, scale: torch.Tensor) -> Any:
        product = honest(levels, scale)
        return lambda x: product(x).clamp(max=20_000)

    monkeypatch.setattr(eight_bits, name, cut_off)
    assert not eight_bits.is_exact.__wrapped__(many=many)


def test_how_many_tokens_come_at_a_time() -> None:
    net: Any = Gpt(Gpt.Config(width=16, layers=1, heads=2, context=32), 31).eval()
    with bits.counted(net) as calls, torch.no_grad():
        for rows in (1, 1, 1, 20):
            net(torch.zeros(1, rows, dtype=torch.int64))
    assert calls["head"] == [1, 1, 1, 20]
    assert bits.typical(calls)["blocks.0.attention.query"] == 20
    assert bits.typical({"x": [2, 2, 2, 1]}) == {"x": 2}
    assert "logits" not in vars(net)


def test_adapters_go_into_the_matrix() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(8, 5))
    attach(net, 2, alpha=4.0)
    assert isinstance(net[0], LoraLinear)
    torch.nn.init.normal_(net[0].lora_b)
    weight, bias = bits.layers_of(net)["0"]
    torch.testing.assert_close(weight.double(), net[0].weight.double() + net[0].product())
    assert bias is net[0].bias
