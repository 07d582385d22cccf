"""item-kNN: what users of the same items took; solved by counting, never stepped.

A row is an event; an example is a user's history and, where asked, the items that followed. B users, I items.
Sarwar et al. 2001: s_ij = Σ_u r_ui r_uj / (√d_i √d_j), y_ui = Σ_{j in N_i} s_ij r_uj.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from luban.columns import Columns, Ragged
from luban.draw import Draw
from luban.task import Split


@dataclass(frozen=True)
class Batch:
    """What a pass sees."""

    seen: Tensor  # (B, I) float32, 1 where the user met the item
    target: Tensor  # (B,) int64, the item that followed; -1 = unknown


class Neighbours(nn.Module):
    """Similarities of items."""

    def __init__(self, items: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.register_buffer("similarity", torch.zeros(items, items))

    def forward(self, seen: Tensor) -> Tensor:
        """(B, I) scores."""
        return seen @ self.similarity

    def solve(self, batches: Iterable[Batch]) -> Iterator[float]:
        """Count pairs, then keep each item's nearest."""
        together = sum(batch.seen.T @ batch.seen for batch in batches)
        yield 0.5
        degree = together.diagonal().clamp(min=1).sqrt()  # type: ignore[union-attr]
        similarity = (together / degree / degree[:, None]).fill_diagonal_(0)  # type: ignore[union-attr]
        least = similarity.topk(self.neighbours, dim=0).values[-1]
        self.similarity.copy_(torch.where(similarity >= least, similarity, 0))
        yield 1.0


class ItemKnn:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many."""

        neighbours: int = 7
        """Items that speak for an item."""
        top: int = 3
        """Items in an answer."""

    split = Split(by="last", group="user", order="time", context=True)
    metrics = ("recall_at_3",)

    def __init__(self, config: Config, state: dict[str, Any] | None = None) -> None:
        self.config, self.state = config, state

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """The items of the training rows."""
        return {"items": table["item"].unique().sort().to_list()}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Users as hashes of nothing but their name, items as codes, -1 = never seen."""
        items = table["item"].replace_strict(self.state["items"], range(len(self.state["items"])), default=-1, return_dtype=pl.Int64)
        return Columns(
            {"user": table["user"].to_numpy(), "time": table["time"].to_numpy(), "item": items.to_numpy()}, np.arange(len(table))
        )

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Events -> users; where some rows are asked, each is a target and what came before it the history."""
        order = np.lexsort((rows["time"], rows["user"]))
        user, item = rows["user"][order], rows["item"][order]
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        if asked is None or asked.all():  # deployed, or training: all is history
            ends = np.r_[first[1:], len(user)]
            target, at = np.full(len(first), -1), ends - 1
        else:
            at = np.flatnonzero(asked[order])
            first, ends, target = first[np.searchsorted(first, at, side="right") - 1], at, item[at]
        return Columns({"history": Ragged(item, first, ends - first), "target": target}, rows.row[order][at])

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Histories as sets."""
        seen = np.zeros((len(examples), len(self.state["items"])), np.float32)
        owner, _ = examples["history"].places()
        item = examples["history"].flat()
        seen[owner[item >= 0], item[item >= 0]] = 1
        return Batch(torch.from_numpy(seen), torch.from_numpy(np.asarray(examples["target"], np.int64)))

    def build(self) -> nn.Module:
        """Items by items."""
        return Neighbours(len(self.state["items"]), self.config.neighbours)

    def predict(self, net: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, I) scores, items already met last; (B,) rank of the target from 0, ties in the middle."""
        scores = net(batch.seen).masked_fill(batch.seen > 0, -torch.inf)
        own = scores.gather(1, batch.target.clamp(min=0)[:, None])
        rank = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
        return scores, rank

    def answer(self, prediction: tuple[Tensor, Tensor]) -> pl.DataFrame:
        """`items`, the best first."""
        best = prediction[0].sort(dim=1, descending=True, stable=True).indices[:, : self.config.top]
        return pl.DataFrame({"items": np.asarray(self.state["items"], object)[best.numpy()].tolist()})

    def judge(self, prediction: tuple[Tensor, Tensor], batch: Batch) -> dict[str, Any]:
        """The rank of what followed; a target that training never saw ranks last."""
        return {"rank": torch.where(batch.target < 0, len(self.state["items"]), prediction[1]).double().numpy()}

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Users who walk along a circle of 31 items, rows shuffled."""
        rng, rows = np.random.default_rng(seed), []
        for user in range(max(3, count // 11)):
            steps = rng.integers(0, 31) + np.cumsum(1 + (rng.random(11) < 0.2))
            rows += [(user, f"i{step % 31:02d}", time) for time, step in enumerate(steps)]
        return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").sample(fraction=1, shuffle=True, seed=seed)


def recall_at_3(marks: Columns) -> float:
    """Share of the targets among the first three; a tie counts by the share of it that fits."""
    return float((np.asarray(marks["rank"]) < 3).mean())
