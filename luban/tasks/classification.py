"""classification: one label for each row, or any number of tags, from any mix of inputs.

B batch, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from luban import supervised
from luban.columns import Columns, Ragged
from luban.errors import DataError, RecipeError, warn
from luban.kinds.category import MISSING, UNSEEN, Category
from luban.kinds.tags import Tags
from luban.messages import tr
from luban.schema import validate
from luban.supervised import TARGET
from luban.task import Loss, Split, Traits

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {
    "text-classification": {},
    "sentiment-analysis": {},
    "image-classification": {},
    "tabular-classification": {},
    "series-classification": {},
    "multi-label-classification": {"target_kind": "tags"},
}


@dataclass(frozen=True)
class Batch:
    """What a step sees."""

    inputs: dict[str, Any]
    target: Tensor  # (B,) int64, -1 missing, -2 never seen; for tags (B, K) float32, NaN = missing
    weights: Tensor | None = None  # (K,) what a row of each label counts; None = all alike


class Classification:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Columns and their kinds."""
        target: str = ""
        """The column that holds the label, or the tags."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        target_kind: Literal["auto", "category", "tags"] = "auto"
        """`tags` for any number of labels a row; `auto`: tags where the column holds lists."""
        loss: Literal["cross_entropy", "bce", "mse", "mse_logits"] = "cross_entropy"
        """`bce` and `mse` compare each label's sigmoid with 0 or 1; `mse_logits` compares the raw output, as older listings do."""
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
        """Share of the target spread evenly over all labels (Szegedy et al. 2016): against noisy labels."""
        class_weight: Literal["none", "balanced"] = "none"
        """`balanced` weighs each label by the inverse of its share."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        target: dict[str, Any]
        weights: tuple[Annotated[float, Ge(0)], ...] | None

    split = Split(by="stratified")
    traits = Traits(of_networks=("loss", "label_smoothing"))
    metrics = ("accuracy", "micro_f1", "macro_f1", "auc", "log_loss", "ece")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read."""
        if not config.target:
            raise RecipeError(
                "L106", tr("a key is missing"), where=f"{where}: target", fix=tr("write it down: {example}", example='target = "label"')
            )
        if config.target in config.inputs:
            raise RecipeError(
                "L112", tr("the target stands among the inputs"), where=f"{where}: inputs.{config.target}", received=config.target
            )
        supervised.check_model(config.inputs, config.model, where)

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        state = validate(self.State, supervised.hollow(self.state), where="state.json")
        supervised.check_specs(self.config.inputs, self.state["inputs"], self.state["target"], ("category", "tags"))
        fewest = 1 if self.multi_label else 2
        if len(self.labels) < fewest or (state.weights is not None and len(state.weights) != len(self.labels)):
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: weights")

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """Specs of the inputs and the labels. Raises DataError L230 where there are fewer than two labels."""
        config = self.config
        labels = supervised.column_of(table, config.target)
        tags = config.target_kind == "tags" or (config.target_kind == "auto" and isinstance(labels.dtype, pl.List))
        target = Tags.fit(labels, Tags.Config()) if tags else Category.fit(labels, Category.Config())
        if len(target["names"]) < (1 if tags else 2):
            raise DataError(
                "L230",
                tr("training rows hold fewer than two labels: there is nothing to tell apart"),
                where=config.target,
                received=target["names"],
                fix=tr("check `target`, or give rows of another label"),
            )
        return {
            "inputs": supervised.fit_inputs(config.inputs, table, config.model),
            "target": target,
            "weights": self.weights(labels, target),
        }

    def weights(self, labels: pl.Series, target: dict[str, Any]) -> list[float] | None:
        """One weight a label, of mean 1 over the rows."""
        if self.config.class_weight == "none" or target["kind"] == "tags":
            return None
        codes = Category.encode(labels, target).values
        count = np.bincount(codes[codes >= 0], minlength=len(target["names"]))
        return (count.sum() / (len(count) * np.maximum(count, 1))).tolist()

    @property
    def loss(self) -> str:
        """The recipe's loss; a solved model brings its own, whose outputs are log-chances."""
        return "cross_entropy" if supervised.is_solved(self.config.model, self.config.inputs) else self.config.loss

    @property
    def labels(self) -> list[str]:
        """The names in the order of the outputs."""
        return self.state["target"]["names"]

    @property
    def multi_label(self) -> bool:
        """Whether a row can have several labels."""
        return self.state["target"]["kind"] == "tags"

    def encode(self, table: pl.DataFrame) -> Columns:
        """Inputs, and the target where the table has it."""
        columns = supervised.encode_table(table, self.state["inputs"])
        name, spec = self.config.target, self.state["target"]
        if name in table.columns:
            values = (Tags if self.multi_label else Category).encode(table[name], spec).values
        elif self.multi_label:
            values = Ragged.of(np.full(len(table), -1, np.int32), np.ones(len(table), np.int64))
        else:
            values = np.full(len(table), MISSING, np.int32)
        columns = supervised.with_column(columns, TARGET, values)
        if name in table.columns:
            supervised.say_missing(int((~is_known(columns[TARGET])).sum()), name)
        return columns

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Asked rows that have a label; all rows where nothing is asked."""
        if asked is None:
            return rows
        target = rows[TARGET]
        known = is_known(target)
        if not isinstance(target, Ragged) and (unseen := int((asked & (target == UNSEEN)).sum())):
            warn("W231", tr("{n} rows have a label that no training row has; they count as wrong", n=unseen), where=self.config.target)
        return rows.take(np.flatnonzero(asked & known))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Tensors of the inputs, and the target."""
        target = examples[TARGET]
        inputs = supervised.collate_inputs(examples, self.state["inputs"], draw)
        if self.multi_label:
            return Batch(inputs, Tags.collate(target, self.state["target"], draw))
        weights = self.state["weights"]
        return Batch(inputs, torch.from_numpy(np.asarray(target, np.int64)), None if weights is None else torch.tensor(weights))

    def build(self) -> nn.Module:
        """One output a label; two labels share one output, the logit of the second."""
        outputs = 1 if self.is_binary else len(self.labels)
        return supervised.build(self.config.model, self.state["inputs"], outputs, aim="tags" if self.multi_label else "label")

    @property
    def is_binary(self) -> bool:
        """Whether there are just two labels, of which each row has one."""
        return not self.multi_label and len(self.labels) == 2

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean over the rows that have a label."""
        outputs = net(batch.inputs)  # (B, K), or (B, 1) of two labels
        known = ~batch.target.isnan().any(1) if self.multi_label else batch.target >= 0
        count = int(known.sum())
        if count == 0:
            yield Loss(outputs.sum() * 0, 0)
            return
        target = batch.target
        if count < len(target):  # a choice of all rows would cost as much as a small net
            outputs, target = outputs[known], target[known]
        loss = self.loss_of(outputs.float(), target)  # (known,)
        if batch.weights is not None:
            loss = loss * batch.weights.to(loss)[target]
        yield Loss(loss.mean(), count)

    def loss_of(self, outputs: Tensor, target: Tensor) -> Tensor:
        """(B,) the loss of each row. Raises RecipeError L113 where outputs and targets differ in shape."""
        kind, smoothing = self.loss, self.config.label_smoothing
        if kind == "cross_entropy" and not self.multi_label and not self.is_binary:
            return F.cross_entropy(outputs, target, label_smoothing=smoothing, reduction="none")
        goal = target.to(outputs.dtype)
        if not self.multi_label:
            goal = goal[:, None] if self.is_binary else F.one_hot(target, len(self.labels)).to(outputs.dtype)
        same_shape(outputs, goal)
        spread = 0.5 if self.is_binary or self.multi_label else 1 / len(self.labels)
        goal = goal * (1 - smoothing) + smoothing * spread if smoothing else goal
        if kind in ("cross_entropy", "bce"):
            return F.binary_cross_entropy_with_logits(outputs, goal, reduction="none").mean(1)
        return ((outputs if kind == "mse_logits" else outputs.sigmoid()) - goal).square().mean(1)

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, K) chances: of each label, or of each tag by itself."""
        outputs = net(batch.inputs).double()
        if self.multi_label:
            return outputs.sigmoid()
        if self.is_binary:
            chance = outputs.clamp(0, 1) if self.loss == "mse_logits" else outputs.sigmoid()
            return torch.cat([1 - chance, chance], dim=1)
        if self.loss in ("bce", "mse"):
            return F.normalize(outputs.sigmoid() + 1e-12, p=1, dim=1)
        return outputs.softmax(1)

    def answer(self, chance: Tensor) -> pl.DataFrame:
        """`label` (or `tags`), `confidence`, and the chance of each label."""
        values = chance.cpu().numpy()
        chances = pl.DataFrame(values.round(6), schema=[f"{name}" for name in self.labels]).to_struct("chances")
        if self.multi_label:
            tags = Tags.decode(values > 0.5, self.state["target"])
            return pl.DataFrame({"tags": tags, "confidence": np.maximum(values, 1 - values).min(1), "chances": chances})
        guess = values.argmax(1)
        return pl.DataFrame({"label": Category.decode(guess, self.state["target"]), "confidence": values.max(1), "chances": chances})

    def judge(self, chance: Tensor, batch: Batch) -> dict[str, Any]:
        """Marks of every classification metric."""
        values = chance.cpu().numpy()
        if self.multi_label:
            return {"labels": batch.target.cpu().numpy() > 0.5, "chance": values, "guess": values > 0.5}
        return {"label": batch.target.cpu().numpy(), "guess": values.argmax(1), "chance": values}

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        supervised.start(net, self.config.model, self.state["inputs"])

    def rungs(self) -> tuple[Classification, ...]:
        """The same task under cheaper models, cheapest first."""
        sections = supervised.rungs(self.config.model, self.state["inputs"])
        return tuple(Classification(replace(self.config, model=section), self.state) for section in sections)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """A review, a price, a city, and whether it was good: all three tell something."""
        rng = np.random.default_rng(seed)
        good = rng.random(count) < 0.5
        hint = np.where(rng.random(count) < 0.9, good, ~good)
        words = np.where(hint, "很好 推荐", "太差 后悔")
        return pl.DataFrame(
            {
                "review": [f"{word}，这是第 {i} 位顾客的话" for i, word in enumerate(words)],
                "price": (np.where(good, 30, 50) + rng.normal(0, 15, count)).round(2),
                "city": np.where(rng.random(count) < 0.3, "Wien", "杭州"),
                "label": np.where(good, "good", "bad"),
            }
        )


def same_shape(outputs: Tensor, goal: Tensor) -> None:
    """Refuse to compare shapes that would only be broadcast. Raises RecipeError L113."""
    if outputs.shape != goal.shape:
        raise RecipeError("L113", tr("outputs and targets differ in shape"), received=tuple(outputs.shape), allowed=[tuple(goal.shape)])


def is_known(target: Any) -> np.ndarray:
    """(N,) which rows have a label, if only one that training never saw."""
    return has_tags(target) if isinstance(target, Ragged) else target != MISSING


def has_tags(target: Ragged) -> np.ndarray:
    """(N,) whether a set of tags was given, if only an empty one."""
    first = np.zeros(len(target), np.int32)
    filled = target.lengths > 0
    first[filled] = target.values[target.starts[filled]]
    return first >= 0
