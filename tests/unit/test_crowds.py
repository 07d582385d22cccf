"""A second layout beside the weights: the same answers but for rounding, no second copy of the weights, and only where it is wanted and may be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from luban.generating import crowds
from luban.generating.crowds import EitherLinear, for_crowds
from luban.models.gpt import Gpt

BYTES = 10**9


def net(*, tied: bool = True) -> Gpt:
    """With weights of the size of trained ones."""
    torch.manual_seed(0)
    made = Gpt(Gpt.Config(width=64, layers=2, heads=4, context=32, bias="all", tied=tied), 301)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made.eval()


@pytest.fixture(autouse=True)
def paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of so small a net say now this and now that: here the layout pays from three rows on."""
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        pytest.skip("this build of torch has no such layout")
    monkeypatch.setattr(crowds, "least_rows", lambda weight, rows: 3)


@pytest.mark.parametrize("tied", [True, False])
def test_answers_are_the_same_and_the_weights_are_shared(tied: bool) -> None:
    made = net(tied=tied)
    copied = for_crowds(made, 5, BYTES)
    changed = {name: module for name, module in copied.named_modules() if isinstance(module, EitherLinear)}
    assert len(changed) == 2 * 6 + 1
    own = {parameter.data_ptr() for parameter in made.parameters()}
    assert {tensor.data_ptr() for module in changed.values() for tensor in (module.weight, module.bias) if tensor is not None} <= own
    for rows, length in ((1, 1), (2, 1), (3, 1), (5, 9)):
        tokens = torch.randint(0, 301, (rows, length))
        with torch.inference_mode():
            one, other = made(tokens), copied(tokens)
        assert (one - other).norm() <= 1e-5 * one.norm()
    assert not any(isinstance(module, EitherLinear) for module in made.modules())


def test_few_rows_are_read_from_the_weights_and_many_from_the_layout() -> None:
    weight, bias = torch.randn(7, 5), torch.randn(7)
    layer = EitherLinear(weight, bias, 3, 3)
    layer.blocked = torch.nn.Identity()
    x = torch.randn(2, 3, 5)
    torch.testing.assert_close(layer(x[:1, :2]), F.linear(x[:1, :2], weight, bias))
    assert layer(x) is x
    assert layer(x[0]).shape == (3, 5)


@pytest.mark.parametrize(("rows", "most"), [(1, BYTES), (8, 0), (8, 1000)])
def test_nothing_is_laid_out_where_it_is_not_wanted(rows: int, most: int) -> None:
    made = net()
    assert for_crowds(made, rows, most) is made


def test_other_types_and_nets_without_products_stay() -> None:
    double = net().double()
    assert for_crowds(double, 8, BYTES) is double
    counts = torch.nn.Identity()
    assert for_crowds(counts, 8, BYTES) is counts


def test_a_trial_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    tried: list[int] = []

    def times(weight: torch.Tensor, bias: None, count: int, forms: tuple[str, ...], *, packed_for: int) -> dict[str, float]:
        tried.append(count)
        return {"plain": 1.0, "blocked": 1.0 if count < 4 else 0.5}

    monkeypatch.setattr(crowds, "times", times)
    assert crowds.least_rows(torch.zeros(3, 2), 8) == 4
    assert crowds.least_rows(torch.zeros(3, 2), 3) == 0
    assert tried == [2, 4, 2, 3]
