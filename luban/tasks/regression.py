"""regression: one number for each row, from any mix of inputs.

B batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from luban import supervised
from luban.columns import Columns
from luban.errors import DataError, RecipeError, warn
from luban.kinds.number import Number
from luban.messages import tr
from luban.schema import validate
from luban.supervised import TARGET
from luban.task import Loss, Split, Traits

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"tabular-regression": {}, "text-regression": {}, "image-regression": {}, "series-regression": {}}


@dataclass(frozen=True)
class Batch:
    """What a step sees."""

    inputs: dict[str, Any]
    target: Tensor  # (B,) float32, scaled; NaN = missing
    weights: None = None  # no number counts more than another


class Regression:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Columns and their kinds."""
        target: str = ""
        """The column that holds the number."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        loss: Literal["mse", "mae", "huber"] = "mse"
        """`mae` and `huber` (Huber 1964, threshold 1 standard deviation) are less moved by outliers."""
        target_scale: Literal["standard", "none"] = "standard"
        """Whether the network learns the standardised number; answers are in the user's unit either way."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        target: dict[str, Any]

    split = Split(by="random")
    traits = Traits(of_networks=("loss",))
    metrics = ("rmse", "mae", "r2")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read."""
        if not config.target:
            raise RecipeError(
                "L106", tr("a key is missing"), where=f"{where}: target", fix=tr("write it down: {example}", example='target = "price"')
            )
        if config.target in config.inputs:
            raise RecipeError(
                "L112", tr("the target stands among the inputs"), where=f"{where}: inputs.{config.target}", received=config.target
            )
        supervised.check_model(config.inputs, config.model, where)

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, supervised.hollow(self.state), where="state.json")
        supervised.check_specs(self.config.inputs, self.state["inputs"], self.state["target"], ("number",))

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """Specs of the inputs and the scale of the target. Raises DataError L231 where no row has a number."""
        numbers = supervised.column_of(table, self.config.target)
        target = Number.fit(numbers, Number.Config(scale=self.config.target_scale))
        values, _ = Number.encode(numbers, target)[:2]
        if not np.isfinite(values).any():
            raise DataError("L231", tr("no training row has a number as its target"), where=self.config.target, fix=tr("check `target`"))
        if np.nanstd(values) == 0:
            warn("W233", tr("the target is the same number in every training row"), where=self.config.target)
        return {"inputs": supervised.fit_inputs(self.config.inputs, table, self.config.model), "target": target}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Inputs, and the target where the table has it; a target that is no number is a fault."""
        specs = dict(self.state["inputs"])
        if self.config.target in table.columns:
            columns = supervised.encode_table(table, specs | {TARGET: self.state["target"]}, names={TARGET: self.config.target})
            supervised.say_missing(int(np.isnan(columns[TARGET]).sum()), self.config.target)
            return columns
        return supervised.with_column(supervised.encode_table(table, specs), TARGET, np.full(len(table), np.nan, np.float32))

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Asked rows that have a number; all rows where nothing is asked."""
        if asked is None:
            return rows
        known = ~np.isnan(rows[TARGET])
        return rows.take(np.flatnonzero(asked & known))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Tensors of the inputs, and the target."""
        target = torch.from_numpy(np.ascontiguousarray(examples[TARGET], np.float32))
        return Batch(supervised.collate_inputs(examples, self.state["inputs"], draw), target)

    def build(self) -> nn.Module:
        """One output."""
        return supervised.build(self.config.model, self.state["inputs"], 1, aim="number")

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean over the rows that have a number. Raises RecipeError L113 where outputs and targets differ in shape."""
        outputs = net(batch.inputs).float()
        if outputs.shape != (*batch.target.shape, 1):
            raise RecipeError(
                "L113", tr("outputs and targets differ in shape"), received=tuple(outputs.shape), allowed=[(*batch.target.shape, 1)]
            )
        known = ~batch.target.isnan()
        error = outputs[known, 0] - batch.target[known]
        count = int(known.sum())
        loss = {"mse": error.square, "mae": error.abs, "huber": lambda: torch.where(error.abs() < 1, 0.5 * error**2, error.abs() - 0.5)}[
            self.config.loss
        ]()
        yield Loss(loss.mean() if count else outputs.sum() * 0, count)

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B,) float64 in the user's unit."""
        spec = self.state["target"]
        return net(batch.inputs)[:, 0].double() * spec["spread"] + spec["mean"]

    def answer(self, prediction: Tensor) -> pl.DataFrame:
        """`number`."""
        return pl.DataFrame({"number": prediction.cpu().numpy()})

    def judge(self, prediction: Tensor, batch: Batch) -> dict[str, Any]:
        """Marks of every regression metric."""
        spec = self.state["target"]
        return {"truth": batch.target.double().cpu().numpy() * spec["spread"] + spec["mean"], "answer": prediction.cpu().numpy()}

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        supervised.start(net, self.config.model, self.state["inputs"])

    def rungs(self) -> tuple[Regression, ...]:
        """The same task under cheaper models, cheapest first."""
        sections = supervised.rungs(self.config.model, self.state["inputs"])
        return tuple(Regression(replace(self.config, model=section), self.state) for section in sections)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Rent by area, district and day, with noise."""
        rng = np.random.default_rng(seed)
        area, old = rng.uniform(20, 140, count), rng.random(count) < 0.4
        day = rng.integers(0, 730, count)
        rent = 12 * area + np.where(old, -120, 80) + day / 5 + rng.normal(0, 60, count)
        return pl.DataFrame(
            {
                "area": area.round(1),
                "district": np.where(old, "老城", "new town"),
                "listed": [str(np.datetime64("2023-01-01") + int(d)) for d in day],
                "rent": rent.round(2),
            }
        )
