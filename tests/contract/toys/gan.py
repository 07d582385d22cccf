"""gan: points on a ring by two adversaries, each a part with its own optimizer.

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
    metrics = ("ring_error",)

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
        fake = net.generator(batch.noise)
        real_loss, fake_loss = F.softplus(-net.discriminator(batch.point)), F.softplus(net.discriminator(fake.detach()))
        yield Loss((real_loss + fake_loss).mean(), len(fake), "discriminator")
        yield Loss(F.softplus(-net.discriminator(net.generator(batch.noise))).mean(), len(fake), "generator")

    def predict(self, net: Any, batch: Batch) -> Tensor:
        """(B, 2)."""
        return net.generator(batch.noise)

    def answer(self, points: Tensor) -> pl.DataFrame:
        """`x`, `y`."""
        return pl.DataFrame(points.numpy(), schema=["x", "y"])

    def judge(self, points: Tensor, batch: Batch) -> dict[str, Any]:
        """How far from the middle, and where."""
        return {"point": points.double().numpy()}

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """A ring of radius 1."""
        angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
        return pl.DataFrame({"x": np.cos(angle), "y": np.sin(angle)})


def ring_error(marks: Columns) -> float:
    """Mean distance of the points from the ring, and of their middle from its middle."""
    points = np.asarray(marks["point"])
    return float(np.abs(np.linalg.norm(points, axis=1) - 1).mean() + np.linalg.norm(points.mean(0)))
