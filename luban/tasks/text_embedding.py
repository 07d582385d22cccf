"""text_embedding: texts as vectors, near where they belong together; for search, matching and finding copies.

B batch, D width. In-batch contrast: van den Oord et al. 2018, eq. 4, both ways as Radford et al. 2021, fig. 3; of labels: Khosla et al. 2020, eq. 2.
Partners are found within a step, never listed: a million rows of one label make no pairs in memory.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from luban import catalog, pretrained, supervised
from luban.columns import Columns
from luban.errors import DataError, RecipeError
from luban.kinds.category import Category
from luban.messages import tr
from luban.schema import validate
from luban.supervised import TARGET
from luban.task import Loss, Pool, Split, Traits

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"sentence-embedding": {}, "semantic-search": {}}
DEFAULT = "bert"


@dataclass(frozen=True)
class Batch:
    """Texts, one or two a row, and the label they belong to."""

    inputs: dict[str, Tensor]  # column -> (B, T) int64, 0 = padding
    group: Tensor | None  # (B,) int64, below 0 = none; None = pairs


class Tower(nn.Module):
    """One encoder for every column."""

    def __init__(self, encoder: nn.Module, column: str) -> None:
        super().__init__()
        self.encoder, self.column = encoder, column

    def forward(self, texts: Tensor) -> Tensor:
        """(B, T) -> (B, D) of length 1."""
        return F.normalize(self.encoder({self.column: texts}), dim=1)


class TextEmbedding:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What belongs together."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Two columns of text whose cells belong together in each row (question and answer, title and body); or one, with a target."""
        target: str = ""
        """With one column of text: the column of labels; rows of one label belong together."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        temperature: Annotated[float, Gt(0), Le(10)] = 0.05
        """Similarities are divided by it: the smaller, the more the hardest of the others count."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]
        target: dict[str, Any]

    split = Split(by="random")
    traits = Traits(trains_whole=True)
    metrics = ("retrieval_at_1", "retrieval_at_10", "retrieval_mrr")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L104, L106, L109, L112, L296."""
        supervised.check_kinds(config.inputs, where)
        wrong = [section["kind"] for section in config.inputs.values() if section["kind"] != "text"]
        if config.inputs and (wrong or len(config.inputs) != (1 if config.target else 2)):
            what = tr("two columns of text that belong together are wanted, or one and a target")
            raise RecipeError("L296", what, where=f"{where}: inputs", received=wrong[0] if wrong else list(config.inputs))
        if len({repr(supervised.without(section, "max_length")) for section in config.inputs.values()}) > 1:
            what, fix = tr("both texts are read by one tokenizer"), tr("state the same settings for both, or none")
            raise RecipeError("L296", what, where=f"{where}: inputs", received=list(config.inputs), fix=fix)
        if config.target in config.inputs:
            raise RecipeError("L112", tr("the target stands among the inputs"), where=f"{where}: inputs.{config.target}")
        section = named(config.model)
        entry = catalog.find("models", section["kind"], where=f"{where}: model.kind")
        if entry.role != "encoder" or "text" not in entry.takes:
            good = catalog.models_for("text")
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=entry.name, allowed=good
            )
        supervised.model_config(section, where=f"{where}: model")
        if section.get("adapt", "full") in pretrained.SOLVED:
            what = tr("here a model is trained as a whole, or by adapters")
            raise RecipeError("L129", what, where=f"{where}: model.adapt", received=section["adapt"], allowed=["full", "lora"])

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, supervised.hollow(self.state), where="state.json")
        target = self.state["target"] or next(iter(self.state["inputs"].values()), {})
        supervised.check_specs(self.config.inputs, self.state["inputs"], target, ("category",) if self.config.target else ("text",))

    @property
    def optional(self) -> tuple[str, ...]:
        """Columns that may be absent from rows to be answered: a question alone, an answer alone."""
        return tuple(self.config.inputs)

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """One vocabulary for all columns. Raises DataError L210, L230."""
        section, first = named(self.config.model), supervised.without(next(iter(self.config.inputs.values())), "max_length")
        specs: dict[str, Any] = {}
        if section.get("pretrained"):  # each text is read by itself, with all the places there are
            for column, own in self.config.inputs.items():
                specs |= supervised.fit_inputs({column: own}, table, section)
        else:
            shared = supervised.fit_inputs(dict.fromkeys(self.config.inputs, first), table, section)
            lengths = {column: own.get("max_length") for column, own in self.config.inputs.items()}
            specs = {column: spec | ({"max_length": lengths[column]} if lengths[column] else {}) for column, spec in shared.items()}
        target: dict[str, Any] = {}
        if self.config.target:
            target = Category.fit(supervised.column_of(table, self.config.target), Category.Config())
            if len(target["names"]) < 2:
                what = tr("training rows hold fewer than two labels: there is nothing to tell apart")
                raise DataError("L230", what, where=self.config.target, received=target["names"])
        return {"inputs": specs, "target": target}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Tokens of each text, and its label where the table has it. Raises DataError L201 where no column of text is there."""
        there = {column: spec for column, spec in self.state["inputs"].items() if column in table.columns}
        if not there:
            supervised.column_of(table, next(iter(self.state["inputs"])))
        columns = supervised.encode_table(table, there)
        name = self.config.target
        if not name:
            return columns
        known = name in table.columns
        group = Category.encode(table[name], self.state["target"]).values if known else np.full(len(table), -1, np.int32)
        return supervised.with_column(columns, TARGET, group)

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """The asked rows; of labels those that have one."""
        if asked is None:
            return rows
        known = np.asarray(rows[TARGET]) >= 0 if TARGET in rows else np.ones(len(rows), bool)
        return rows.take(np.flatnonzero(asked & known))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Padded token ids."""
        there = {column: spec for column, spec in self.state["inputs"].items() if column in examples}
        group = torch.from_numpy(np.asarray(examples[TARGET], np.int64)) if TARGET in examples else None
        return Batch(supervised.collate_inputs(examples, there, draw), group)

    def build(self) -> nn.Module:
        """One encoder, which reads every column by itself."""
        column, spec = max(self.state["inputs"].items(), key=lambda item: item[1]["max_length"])  # of both, the one that needs more places
        return Tower(supervised.encoder_of(named(self.config.model), {column: spec}), column)

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, where the recipe names a checkpoint."""
        section = named(self.config.model)
        if section.get("pretrained"):
            pretrained.load(net.encoder, section, next(iter(self.state["inputs"].values())))  # type: ignore[arg-type]

    def losses(self, net: nn.Module, batch: Batch) -> Generator[Loss | Pool, Tensor, None]:
        """Each text picks its partner out of the whole step."""
        vectors = [net(texts) for texts in batch.inputs.values()]
        if batch.group is None:
            left, right = (yield Pool(torch.cat(vectors, 1))).chunk(2, dim=1)  # (all, D) each
            score = left @ right.T / self.config.temperature
            own = torch.arange(len(score), device=score.device)
            yield Loss((F.cross_entropy(score, own) + F.cross_entropy(score.T, own)) / 2, len(own))
            return
        label = batch.group[:, None].to(vectors[0].dtype)  # whole numbers, exact in a float up to 2^24
        pooled = yield Pool(torch.cat([vectors[0], label], 1))
        yield self.together(pooled[:, :-1], pooled[:, -1].detach().round())

    def together(self, vectors: Tensor, label: Tensor) -> Loss:
        """Each row of a label against all others of the step; rows that are alone in it do not count."""
        own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        chance = (vectors @ vectors.T / self.config.temperature).masked_fill(own, -torch.inf)
        chance = chance - chance.logsumexp(1, keepdim=True) if len(vectors) > 1 else torch.zeros_like(chance)
        alike = (label[:, None] == label) & ~own
        some = alike.any(1)
        each = chance.masked_fill(~alike, 0.0).sum(1)[some] / alike.sum(1)[some]
        return Loss(-each.mean() if bool(some.any()) else vectors.sum() * 0, int(some.sum()))

    def predict(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """(B, D) a vector of length 1 for each column that is there."""
        return {column: net(texts) for column, texts in batch.inputs.items()}

    def answer(self, prediction: dict[str, Tensor]) -> pl.DataFrame:
        """`vector` of the one text; of two, the vector of each, and their `similarity`."""
        width = next(iter(prediction.values())).shape[1]
        kind = pl.Array(pl.Float32, width)
        vectors = {name: pl.Series(value.float().cpu().numpy(), dtype=kind).cast(pl.List(pl.Float32)) for name, value in prediction.items()}
        if len(vectors) == 1:
            return pl.DataFrame({"vector": next(iter(vectors.values()))})
        left, right = prediction.values()
        found = {f"vector_{number}": series for number, series in enumerate(vectors.values(), 1)}
        return pl.DataFrame({**found, "similarity": (left * right).sum(1).double().cpu().numpy().round(6)})

    def judge(self, prediction: dict[str, Tensor], batch: Batch) -> dict[str, Any]:
        """Vectors: retrieval compares all with all; and the labels."""
        vectors = [value.float().cpu().numpy() for value in prediction.values()]
        if batch.group is not None:
            return {"query": vectors[0], "group": batch.group.cpu().numpy()}
        return {"query": vectors[0], "partner": vectors[1]}

    def rungs(self) -> tuple[TextEmbedding, ...]:
        """The encoder alone: `auto` has nothing else to choose from."""
        if self.config.model["kind"] != "auto":
            return ()
        return (type(self)(replace(self.config, model=named(self.config.model)), self.state),)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """The same number spelt in two languages, no pair twice."""
        number = np.random.default_rng(seed).permutation(1000)[:count]
        question = ["".join("零一二三四五六七八九"[int(d)] for d in f"{n:03d}") + "是多少" for n in number]
        words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
        return pl.DataFrame({"question": question, "answer": [" ".join(words[int(d)] for d in f"{n:03d}") for n in number]})


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the encoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
