"""Layers in other forms: the same in float32 but for rounding, close in 8 bits, and the net itself untouched."""

from __future__ import annotations

import pytest
import torch

from luban.generating.faster import BlockedLinear, faster
from luban.models.gpt import Gpt


def net() -> Gpt:
    """With weights of the size of trained ones."""
    torch.manual_seed(0)
    made = Gpt(Gpt.Config(width=64, layers=2, heads=4, context=32, bias="all"), 301)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made.eval()


@pytest.mark.parametrize("int8", [False, True])
def test_the_faster_copy_says_nearly_the_same(int8: bool) -> None:
    made, tokens = net(), torch.randint(0, 301, (5, 9))
    copied, tried = faster(made, 5, int8=int8)
    assert {one.form for one in tried} <= ({"plain", "blocked", "int8"} if int8 else {"plain", "blocked"})
    assert len(tried) == 2 * 6 + 1
    with torch.inference_mode():
        one, other = made(tokens), copied(tokens)
    assert (one - other).norm() <= (0.05 if int8 else 1e-5) * one.norm()
    assert all(parameter.requires_grad for parameter in made.parameters())


@pytest.mark.parametrize("shape", [(3, 7), (1, 7), (2, 3, 7)])
def test_blocks_take_rows_of_any_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain, x = torch.nn.Linear(7, 5), torch.randn(shape)
    try:
        layer = BlockedLinear(plain.weight, plain.bias, 3)
    except (RuntimeError, NotImplementedError, AttributeError):
        pytest.skip("this build of torch has no such layout")
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), plain(x))
