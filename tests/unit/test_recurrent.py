"""Recurrent layers where bfloat16 is asked for: on processors that have such layers, and on those that lack them."""

from __future__ import annotations

import pytest
import torch

from luban.layers import recurrent


def read() -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer says in float32, and under autocast; its gradient is asked for."""
    torch.manual_seed(0)
    layer, x = recurrent.recurrent(8, 16, 2), torch.randn(3, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = recurrent.through(layer, x)
    found.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)
    return layer(x)[0], found


def test_autocast_is_as_exact_as_its_numbers() -> None:
    """Many processors have no bfloat16 layer in oneDNN, which raised."""
    exact, found = read()
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0.02)


def test_without_such_layers_float32_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    exact, found = read()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0, rtol=0)
