"""A net larger than the machine is refused before it is built; one that fits is outlined as it would be built."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import polars as pl
import pytest
import torch

from luban.errors import RecipeError
from luban.outline import outline
from luban.recipe import parse
from luban.training.capacity import check_capacity

MODELS: list[dict[str, Any]] = [{"kind": "mlp"}, {"kind": "linear"}, {"kind": "boosted"}, {"kind": "majority"}]


def task(model: dict[str, Any]) -> Any:
    table = pl.DataFrame({"x": [1.0, 2.0, None], "c": ["a", "b", "a"], "y": ["no", "yes", "no"]})
    recipe = parse({"task": "classification", "data": "none", "target": "y", "inputs": {"x": "number", "c": "category"}, "model": model})
    unfitted = recipe.make_task()
    return type(unfitted)(unfitted.config, unfitted.fit(table))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["kind"])
def test_an_outline_has_the_shapes_of_the_net(model: dict[str, Any]) -> None:
    one = task(model)
    outlined, built = outline(one).state_dict(), one.build().state_dict()
    assert {name: (t.shape, t.dtype) for name, t in outlined.items()} == {name: (t.shape, t.dtype) for name, t in built.items()}
    assert all(tensor.device == torch.device("meta") for tensor in outlined.values())
    check_capacity(one)


def test_a_net_beyond_the_machine_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        check_capacity(task({"kind": "mlp", "hidden": [65_536] * 64}))
    assert caught.value.code == "L126"


def test_an_outline_draws_nothing() -> None:
    """On the meta device a normal distribution imports a compiler, for a second."""
    code = """
import sys, torch
from torch import nn
from luban.outline import outline
class Task:
    def build(self):
        net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4))
        nn.init.normal_(net[1].weight, std=0.02)
        net[1].bias.data.normal_()
        return net
net = outline(Task())
assert all(p.is_meta for p in net.parameters())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
