"""gan: points of a cloud by two adversaries, each a part with its own optimizer.

B batch, Z noise. Goodfellow et al. 2014, with the loss of its section 3 that does not saturate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.columns import Columns
from luban.draw import Draw
from luban.task import Loss, Split

MIDDLE, SPREAD = (1.5, -1.0), (0.7, 0.3)


@dataclass(frozen=True)
class Batch:
    """What a step sees."""

    point: Tensor  # (B, 2)
    noise: Tensor  # (B, Z), keyed by example: a step does not depend on how it is cut


class Adversaries(nn.Module):
    """A generator and a discriminator."""

    def __init__(self, noise: int, width: int) -> None:
        super().__init__()
        self.generator, self.discriminator = perceptron(noise, width, 2), perceptron(2, width, 1)


def perceptron(wide: int, width: int, out: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(wide, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, out))


class Gan:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Sizes."""

        noise: int = 3
        """Numbers a point is made from."""
        width: int = 23
        """Units of a hidden layer."""

    split = Split()
    metrics = ("cloud_error",)

    def __init__(self, config: Config, state: dict[str, Any] | None = None) -> None:
        self.config, self.state = config, state

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """Nothing to learn before training."""
        return {}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Points; where nothing is given, as many are made as there are rows."""
        return Columns({"point": table.select("x", "y").to_numpy().astype(np.float32)}, np.arange(len(table)))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Noise is drawn when answering too."""
        return Batch(torch.from_numpy(examples["point"]), torch.from_numpy(draw.normal("noise", self.config.noise)))

    def build(self) -> nn.Module:
        """Two parts."""
        return Adversaries(self.config.noise, self.config.width)

    def losses(self, net: Any, batch: Batch) -> Iterator[Loss]:
        """The discriminator's, then, against the discriminator just stepped, the generator's."""
        fake, point = net.generator(batch.noise).detach(), batch.point.clone().requires_grad_()
        verdict = net.discriminator(point)
        (slope,) = torch.autograd.grad(verdict.sum(), point, create_graph=True)
        calm = slope.square().sum(1).mean() / 2  # Mescheder, Geiger and Nowozin 2018, eq. 9: without it the two circle for ever
        yield Loss((F.softplus(-verdict) + F.softplus(net.discriminator(fake))).mean() + calm, len(fake), "discriminator")
        yield Loss(F.softplus(-net.discriminator(net.generator(batch.noise))).mean(), len(fake), "generator")

    def predict(self, net: Any, batch: Batch) -> Tensor:
        """(B, 2)."""
        return net.generator(batch.noise)

    def answer(self, points: Tensor) -> pl.DataFrame:
        """`x`, `y`."""
        return pl.DataFrame(points.numpy(), schema=["x", "y"])

    def judge(self, points: Tensor, batch: Batch) -> dict[str, Any]:
        """Where each point lies."""
        return {"point": points.double().numpy()}

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """A cloud about MIDDLE."""
        points = np.random.default_rng(seed).normal(MIDDLE, SPREAD, (count, 2))
        return pl.DataFrame(points, schema=["x", "y"])


def cloud_error(marks: Columns) -> float:
    """Distance of the points' middle from the cloud's, and of their spreads from its spreads."""
    points = np.asarray(marks["point"])
    return float(np.linalg.norm(points.mean(0) - MIDDLE) + np.linalg.norm(points.std(0) - SPREAD))
