"""Dropout by bits: what torch's promises, counted over many draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from luban.layers.dropout import STEPS, Dropout, kept


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_values_are_zero_with_that_chance_and_scaled_else_as_torchs_are(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(701, 1003, dtype=dtype, requires_grad=True)
    out = Dropout(share)(x)
    assert out.dtype == dtype
    out.sum().backward()
    out = out.detach()
    error = 5 * (share * (1 - share) / x.numel()) ** 0.5
    assert float((out == 0).double().mean()) == pytest.approx(share, abs=error + 1 / STEPS)
    oracle = torch.dropout(torch.ones(99, dtype=dtype), share, True)
    assert float(out.max()) == pytest.approx(float(oracle.max()), rel=1e-4)
    assert torch.equal(x.grad, out)  # type: ignore[arg-type]


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 1003])
def test_a_value_says_nothing_of_those_beside_it(lag: int) -> None:
    torch.manual_seed(1)
    drawn = kept(torch.Size((701, 1003)), STEPS // 2).flatten().double() - 0.5
    assert float((drawn[lag:] * drawn[:-lag]).mean()) == pytest.approx(0, abs=5 * 0.25 / len(drawn) ** 0.5)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (5, 7, 3)], ids=str)
def test_any_shape_and_the_seed_decides(shape: tuple[int, ...]) -> None:
    layer = Dropout(0.4)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(layer(torch.ones(shape)))
    assert found[0].shape == shape
    assert torch.equal(*found)


def test_evaluation_changes_nothing_and_the_ends_are_torchs() -> None:
    x = torch.randn(31, 5)
    assert Dropout(0.7).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not Dropout(1.0)(x).any()
    torch.manual_seed(0)
    torch.testing.assert_close(Dropout(1e-6)(x), x)


def test_a_compiled_net_drops_too() -> None:
    net = torch.compile(nn.Sequential(Dropout(0.5)), backend="eager")
    out = net(torch.ones(64, 64))
    assert float((out == 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert set(out.unique().tolist()) == {0.0, 2.0}
