"""A net for answers alone: its answers are those of the net, no batch norm that can be folded is left, and the net itself is untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from luban.catalog import load
from luban.folding import folded


def worn(kind: str) -> nn.Module:
    """A net over small pictures whose norms have seen something."""
    torch.manual_seed(0)
    net = load("models", kind)(load("models", kind).Config(), {"x": {"kind": "image", "channels": 3, "size": (11, 13)}})
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1, 2)
            nn.init.normal_(module.bias)
    return net.eval()


@pytest.mark.parametrize("kind", ["convnet", "resnet"])
def test_answers_are_the_same(kind: str) -> None:
    net = worn(kind)
    before = copy.deepcopy(net.state_dict())
    made = folded(net)
    for rows in (1, 5):
        x = {"x": torch.randn(rows, 3, 11, 13)}
        with torch.inference_mode():
            torch.testing.assert_close(made(x), net(x), rtol=1e-4, atol=1e-4)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    left, all_ = (sum(isinstance(module, nn.BatchNorm2d) for module in one.modules()) for one in (made, net))
    assert left < all_
    if kind == "convnet":
        assert left == 0


def test_a_norm_that_does_not_follow_a_convolution_stays() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.Conv2d(5, 7, 1), nn.BatchNorm2d(7, track_running_stats=False)
    ).eval()
    assert [type(layer) for layer in folded(net)] == [type(layer) for layer in net]


def test_others_are_left_alone() -> None:
    for net in (nn.Linear(3, 2), nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).double()):
        assert folded(net) is net
