"""Language models that were never trained, what they say alone, and what a service counts of them."""

from __future__ import annotations

from typing import Any

import polars as pl
import torch
from running import Running

from luban.generating.settings import Generation
from luban.generating.slots import generate
from luban.serving.settings import Limits

GPT = {"kind": "gpt", "width": 28, "layers": 2, "heads": 2, "context": 251}
LIMITS = Limits(tokens=150, prompt_tokens=120, streams=4, waiting_streams=12, prefixes=3, part_tokens=32)


def made(kind: Any, column: str) -> tuple[Any, Any]:
    """A fitted task and a net that was never trained, its weights away from zero."""
    table = kind.demo(None, 80, 0)
    config = kind.Config(inputs={column: {"kind": "text"}}, model=GPT, tokenizer="characters", generation=Generation(max_tokens=30))
    task = kind(config, kind(config).fit(table))
    torch.manual_seed(1)
    net = task.build()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return task, net.eval()


def alone(pair: tuple[Any, Any], prompt: str, **settings: Any) -> str:
    """What the model says to a prompt with nobody beside it."""
    task, net = pair
    (tokens,) = task.whole_prompts(pl.DataFrame({"text": [prompt]}))
    return generate(net, task.tokenizer, [tokens], Generation(**settings))[0].text


def metric(where: Running, name: str) -> float:
    lines = where.get("/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))
