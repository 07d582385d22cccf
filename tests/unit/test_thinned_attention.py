"""Attention some of whose weights are dropped, against torch's own and over many draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from luban.layers.attention import attend, weights


def parts(heads: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    q = torch.randn(3, 4, 7, 5, dtype=torch.float64, requires_grad=True)
    k, v = (torch.randn(3, heads, 7, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return q, k, v


def masks() -> dict[str, Tensor | None]:
    seen = torch.rand(3, 1, 7, 7, generator=torch.Generator().manual_seed(1)) > 0.4
    seen[..., 0] = True
    return {"none": None, "keys": seen[:, :, :1], "seen": seen, "added": torch.randn(1, 4, 7, 7, dtype=torch.float64)}


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("scaled", [True, False])
def test_with_nothing_dropped_it_is_torchs_and_so_are_the_gradients(name: str, scaled: bool) -> None:
    mask, (q, k, v) = masks()[name], parts()
    mine = weights(q, k, mask=mask, scaled=scaled) @ v
    oracle = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=None if scaled else 1.0)
    torch.testing.assert_close(mine, oracle)
    grads = [torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (mine, oracle)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_causal_is_torchs() -> None:
    q, k, v = parts()
    mine = weights(q, k, causal=True) @ v
    torch.testing.assert_close(mine, F.scaled_dot_product_attention(q, k, v, is_causal=True))


@pytest.mark.parametrize("heads", [4, 2])
def test_over_many_draws_what_is_dropped_is_made_up_for(heads: int) -> None:
    q, k, v = (part.detach() for part in parts(heads))
    mean = torch.stack([attend(q, k, v, dropout=0.3) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, attend(q, k, v), rtol=0, atol=0.1)
    assert not torch.equal(attend(q, k, v, dropout=0.3), attend(q, k, v))
