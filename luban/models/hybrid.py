"""hybrid: two towers, a user's history and an item, each from ids and descriptions; an item without a history is known by what describes it.

In-batch softmax with log-q correction: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations".
B users, E items of their histories, P pairs, I items, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"width": 16}, "small": {"width": 64}, "base": {"width": 256}}
PIECE = 8192  # items described at once


class Hybrid(nn.Module):
    """Vectors of items as they are named, and as they speak in a history."""

    objective = "pool"
    reads_content = reads_people = True
    learning_rate = 5e-3
    weight_decay = 0.1
    epochs = 60

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, and how much the ids are trusted."""

        width: Annotated[int, Gt(0), Le(4096)] = 64
        """Of the vectors."""
        forget: Annotated[float, Ge(0), Lt(1)] = 0.3
        """Share of the items whose id, and of described users whose history, is left out in training, so that descriptions learn to stand alone."""
        pairs: Annotated[int, Gt(0), Le(1024)] = 8
        """Items of each user asked at once, each from the rest of the history."""

    named: nn.Parameter  # (I, D)
    spoken: nn.Parameter  # (I, D)
    met: Tensor  # (I,) 1 for items with a history
    log_share: Tensor  # (I,) of the events, how many are of the item
    kept: tuple[Any, tuple[Tensor, Tensor]] | None = None  # the vectors of all items, and the weights they came from

    def __init__(self, config: Hybrid.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.content, self.pairs = config, sizes.content, config.pairs
        self.encoders = nn.ModuleList(sizes.encoders)
        wide = sum(encoder.out_dim for encoder in sizes.encoders)
        self.named = nn.Parameter(torch.randn(sizes.items, config.width) * 0.05)
        self.spoken = nn.Parameter(torch.randn(sizes.items, config.width) * 0.05)
        self.describe = nn.Linear(wide, 2 * config.width) if wide else None
        self.people, self.people_encoders = sizes.people, nn.ModuleList(sizes.people_encoders)
        wide = sum(encoder.out_dim for encoder in sizes.people_encoders)
        self.tell = nn.Linear(wide, config.width) if wide else None
        self.register_buffer("met", torch.as_tensor(sizes.counts > 0).float())
        self.register_buffer("log_share", torch.as_tensor((sizes.counts + 1) / (sizes.counts.sum() + len(sizes.counts))).log().float())

    def described(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) what descriptions add to the vectors of some items, named and spoken."""
        if self.describe is None:
            nothing = self.named.new_zeros(len(items), self.config.width)
            return nothing, nothing
        named, spoken = self.describe(self.joined(self.encoders, self.content.inputs(items))).chunk(2, 1)
        return named, spoken

    def joined(self, encoders: nn.ModuleList, inputs: dict[str, Tensor]) -> Tensor:
        """(n, sum of the encoders' widths) of what describes some items or users."""
        there = {name: value.to(self.named) if value.is_floating_point() else value.to(self.named.device) for name, value in inputs.items()}
        return torch.cat([encoder(there) for encoder in encoders], 1)

    def knows(self, batch: Histories) -> Tensor:
        """(B,) whether what describes the user is known: from training, or from the question."""
        known = batch.user >= 0
        return torch.zeros_like(known) if self.people is None else known | bool(batch.about)

    def told(self, batch: Histories) -> Tensor:
        """(B, D) what descriptions add to the vectors of the users; 0 for strangers of whom nothing is said."""
        out = self.named.new_zeros(len(batch.lengths), self.config.width)
        known = batch.user >= 0
        for here, inputs in ((known, None), (~known, batch.about)):
            if self.tell is None or inputs == {} or not bool(here.any()):
                continue
            inputs = self.people.inputs(batch.user[here]) if inputs is None else {name: value[here] for name, value in inputs.items()}
            out[here] = self.tell(self.joined(self.people_encoders, inputs))
        return out

    def vectors(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) of some items: as they are named, and as they speak."""
        named, spoken = self.described(items)
        known = self.met[items].to(named)[:, None]
        if self.training and self.config.forget:
            known = known * (torch.rand(len(items), 1) >= self.config.forget).to(named)
        return named + known * self.named[items], spoken + known * self.spoken[items]

    def pooled(self, batch: Histories, positive: Tensor) -> Tensor:
        """(B · P, 2 D + 3) float32 of each pair of a user and an item of the history: the rest of the history, the item, its code in two, its log share.

        A float holds no code beyond 2²⁴, so its high and its low 16 bits stand apart.
        """
        count = len(batch.lengths)
        items, place = torch.unique(torch.cat([batch.history, positive.reshape(-1)]), return_inverse=True)
        named, spoken = self.vectors(items)
        said = spoken[place[: len(batch.history)]]
        total = said.new_zeros(count, said.shape[1]).index_add(0, batch.owner, said)
        asked = place[len(batch.history) :].reshape(count, -1)
        rest = (total[:, None] - spoken[asked]) / (batch.lengths - 1).clamp(min=1).to(total).sqrt()[:, None, None]
        if self.people is not None:
            kept = torch.rand(count, 1, 1) >= self.config.forget if self.training else torch.ones(count, 1, 1)
            rest = rest * kept.to(rest) + self.told(batch)[:, None]
        facts = torch.stack([(positive >> 16).float(), (positive & 0xFFFF).float(), self.log_share[positive].float()], 2)
        return torch.cat([rest.float(), named[asked].float(), facts], 2).flatten(0, 1)

    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """(I, D) both; kept while no weight changes."""
        key, kept = tuple((id(p), p._version) for p in self.parameters()), self.kept
        if kept is None or kept[0] != key:
            parts = [self.vectors(piece) for piece in torch.arange(len(self.named), device=self.named.device).split(PIECE)]
            self.kept = kept = key, (torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
        return kept[1]

    def query(self, batch: Histories, memory: Any) -> tuple[Tensor, Tensor]:
        """(B, D) users, and (I, D) items."""
        named, spoken = self.all_vectors()
        total = named.new_zeros(len(batch.lengths), named.shape[1]).index_add(0, batch.owner, spoken[batch.history])
        return total / batch.lengths.clamp(min=1).to(total).sqrt()[:, None] + self.told(batch), named

    def score(self, query: tuple[Tensor, Tensor], start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query[0] @ query[1][start:stop].T

    def vectors_of(self, query: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, D) users and (I, D) items, whose products are the scores."""
        return query

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) what the first, in a history, adds to the score of the second."""
        named, spoken = self.all_vectors()
        return (spoken[left] * named[right]).sum(1)
