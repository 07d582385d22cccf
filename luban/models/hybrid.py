"""hybrid: two towers, a user's history and an item, each from ids and descriptions; an item without a history is known by what describes it.

In-batch softmax with log-q correction: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations". The ids begin as
least squares leave them, and are left out in training, so that descriptions stand alone: Volkovs et al. 2017, "DropoutNet: addressing cold start in
recommender systems". Without its id an item is the mean of its nearest by description (Gantner et al. 2010, "Learning attribute-to-feature mappings for
cold-start recommendations") and what the net learns to add. What is asked comes after what is known of the user, as when answers are wanted; how often an
item is asked for is no matter of taste, and stands beside the towers' product. B users, E items of their histories, P pairs, I items, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers.described import described, weighed
from luban.layers.towers import lending, towers

if TYPE_CHECKING:
    from luban.roles import Histories, Sizes

ROLE, TAKES = "recommender", ()
SIZES = {"tiny": {"width": 16}, "small": {"width": 128}, "base": {"width": 256}}
SMALL = 0.05  # standard deviation of the ids' vectors before anything is known
SPREAD = 2.0  # of a user's first scores over the items
SEEN = 0.1  # times that every item counts as asked for beforehand
PIECE = 8192  # items described at once


def silent(layer: nn.Linear) -> nn.Linear:
    """With first weights that add nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Hybrid(nn.Module):
    """Vectors of items as they are named, and as they speak in a history."""

    objective = "pool"
    reads_content = reads_people = True
    learning_rate = 2e-3
    weight_decay = 0.1
    epochs = 9

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Widths, and how much the ids are trusted."""

        width: Annotated[int, Gt(0), Le(4096)] = 128
        """Of the vectors."""
        forget: Annotated[float, Ge(0), Lt(1)] = 0.3
        """Share of the items whose id, and of described users whose history, is left out in training, so that descriptions learn to stand alone."""
        pairs: Annotated[int, Gt(0), Le(1024)] = 16
        """Items of each user asked at once, from what came before a place in the history that is drawn anew each time."""
        fresh: Annotated[float, Ge(0), Le(1)] = 0.8
        """Share of the known items that are asked for less often than an item that nobody took is taken to be."""
        neighbours: Annotated[int, Gt(0), Le(1000)] = 5
        """Items described alike that lend their vectors to one without a history."""

    named: nn.Parameter  # (I, D)
    spoken: nn.Parameter  # (I, D)
    met: Tensor  # (I,) 1 for items with a history
    log_share: Tensor  # (I,) of how often an item is asked for in training, against the mean of all
    prior: Tensor  # (I,) the same in an answer; of an item that nobody took as of one that many did, else no answer would hold it
    near: Tensor  # (I, K) int32 the items that lend an item their vectors
    share: Tensor  # (I, K) of each of them; 0 where nobody does
    kept: tuple[Any, tuple[Tensor, Tensor]] | None = None  # the vectors of all items, and the weights they came from

    def __init__(self, config: Hybrid.Config, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.content, self.in_time = config, sizes.content, sizes.in_time
        self.encoders = nn.ModuleList(sizes.encoders)
        wide = sum(encoder.out_dim for encoder in sizes.encoders)
        self.named = nn.Parameter(torch.randn(sizes.items, config.width) * SMALL)
        self.spoken = nn.Parameter(torch.randn(sizes.items, config.width) * SMALL)
        self.describe = silent(nn.Linear(wide, 2 * config.width)) if wide else None
        self.people, self.people_encoders = sizes.people, nn.ModuleList(sizes.people_encoders)
        wide = sum(encoder.out_dim for encoder in sizes.people_encoders)
        self.tell = silent(nn.Linear(wide, config.width)) if wide else None
        self.register_buffer("met", torch.as_tensor(sizes.counts > 0).float())
        self.register_buffer("log_share", torch.zeros(sizes.items))
        self.register_buffer("prior", torch.zeros(sizes.items))
        self.register_buffer("near", torch.zeros(sizes.items, config.neighbours, dtype=torch.int32))
        self.register_buffer("share", torch.zeros(sizes.items, config.neighbours))

    def check_buffers(self) -> None:
        """Raises ValueError where a lender is no item: the buffers of a bundle come from a stranger."""
        if bool(((self.near < 0) | (self.near >= len(self.near))).any()):
            raise ValueError("near")

    @torch.no_grad()
    def prepare(self, memory: Any) -> None:
        """Vectors to begin with, neighbours by description, and how often each item is asked for."""
        for mine, found in zip((self.named, self.spoken), towers(memory.matrix(), factors=self.config.width, spread=SPREAD), strict=True):
            mine.copy_(found)
        if self.describe is not None:
            told = weighed(described(self.content, len(self.named)), 1.0)
            for mine, found in zip(
                (self.near, self.share), lending(told, memory.counts.cpu().numpy(), self.config.neighbours), strict=True
            ):
                mine.copy_(found)
        self.count(memory)

    def count(self, memory: Any) -> None:
        """How often each item is asked for, exactly: one of a history is drawn after each of its places as often as after any other."""
        lengths = memory.starts.diff()
        count = int(memory.starts[-1])
        place = torch.arange(count) - torch.repeat_interleave(memory.starts[:-1], lengths)
        long = torch.repeat_interleave(lengths, lengths)
        often = 1 / long.double()
        if self.in_time:  # behind a cut c of 1 … n - 1 each of the n - c items stands a chance of 1 / (n - c)
            harmonic = torch.cat([often.new_zeros(1), (1 / torch.arange(1, int(lengths.max()) + 1).double()).cumsum(0)])
            often = torch.where(long > 1, (harmonic[long - 1] - harmonic[long - 1 - place]) / (long - 1).clamp(min=1), 1.0)
        asked = torch.zeros(len(self.met), dtype=torch.float64).index_add(0, memory.items[:count].long(), often) + SEEN
        self.log_share.copy_((asked / asked.mean()).log())
        known = self.met > 0
        among = max(1, round(self.config.fresh * int(known.sum())))
        self.prior.copy_(torch.where(known, self.log_share, self.log_share[known].kthvalue(among).values))

    def learnt(self, items: Tensor) -> tuple[Tensor, Tensor]:
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
            out[here] = self.tell(self.joined(self.people_encoders, inputs)).to(out)
        return out

    def vectors(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) of some items: as they are named, and as they speak; of those without a history, and of some in training, by their descriptions alone."""
        bare = self.met[items] == 0
        if self.training and self.config.forget:
            bare = bare | ((torch.rand(len(items)) < self.config.forget).to(bare.device) & (self.share[items, 0] > 0))
        named, spoken = F.embedding(items, self.named), F.embedding(items, self.spoken)
        place = torch.nonzero(bare)[:, 0]
        if len(place) < (2 if self.training else 1):  # norms over a batch can make nothing of one
            return named, spoken
        more_named, more_spoken = self.learnt(items[place])
        named = named.index_copy(0, place, self.lent(items[place], self.named) + more_named)
        return named, spoken.index_copy(0, place, self.lent(items[place], self.spoken) + more_spoken)

    def lent(self, items: Tensor, table: Tensor) -> Tensor:
        """(n, D) the mean of the vectors of those described alike."""
        return (F.embedding(self.near[items].long(), table) * self.share[items][..., None]).sum(1)

    def pooled(self, batch: Histories, positive: Tensor) -> Tensor:
        """(B · P, 2 D + 5) float32 at least, of each pair of a user and a later item: what came before, and 1; the item, and its prior; its code in two; its log share.

        A float holds no code beyond 2²⁴, so its high and its low 16 bits stand apart.
        """
        early = torch.ones_like(batch.history, dtype=torch.bool) if batch.before is None else batch.before
        history, owner = batch.history[early], batch.owner[early]
        items, place = torch.unique(torch.cat([history, positive.reshape(-1)]), return_inverse=True)
        named, spoken = self.vectors(items)
        user = self.gathered(spoken[place[: len(history)]], owner, len(batch.lengths))
        if self.people is not None:
            kept = torch.rand(len(user), 1) >= self.config.forget if self.training else torch.ones(len(user), 1)
            user = user * kept.to(user) + self.told(batch)
        asked = place[len(history) :].reshape(positive.shape)
        wide = torch.promote_types(named.dtype, torch.float32)
        facts = torch.stack(
            [fact.to(wide) for fact in (self.prior[positive], positive >> 16, positive & 0xFFFF, self.log_share[positive])], 2
        )
        left = torch.cat([user, user.new_ones(len(user), 1)], 1)[:, None].expand(-1, positive.shape[1], -1)
        return torch.cat([left.to(wide), named[asked].to(wide), facts], 2).flatten(0, 1)

    @staticmethod
    def gathered(said: Tensor, owner: Tensor, count: int) -> Tensor:
        """(B, D) what the items of some histories say together (E, D), by the root of how many they are."""
        total = said.new_zeros(count, said.shape[1]).index_add(0, owner, said)
        return total / torch.bincount(owner, minlength=count).clamp(min=1).to(total).sqrt()[:, None]

    def train(self, mode: bool = True) -> Hybrid:
        """As every module; what was kept of the weights may end here. A fused optimizer does not count its changes, so their versions say nothing."""
        self.kept = None
        return super().train(mode)

    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """(I, D) both; kept while nothing is learnt and no weight is replaced."""
        key, kept = tuple((id(p), p._version) for p in self.parameters()), self.kept
        if kept is None or kept[0] != key:
            parts = [self.vectors(piece) for piece in torch.arange(len(self.named), device=self.named.device).split(PIECE)]
            self.kept = kept = key, (torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
        return kept[1]

    def query(self, batch: Histories, memory: Any) -> tuple[Tensor, Tensor]:
        """(B, D + 1) users, and (I, D + 1) items, the last of each for how often an item is asked for."""
        named, spoken = self.all_vectors()
        user = self.gathered(spoken[batch.history], batch.owner, len(batch.lengths)) + self.told(batch)
        return torch.cat([user, user.new_ones(len(user), 1)], 1), torch.cat([named, self.prior[:, None].to(named)], 1)

    def score(self, query: tuple[Tensor, Tensor], start: int, stop: int) -> Tensor:
        """(B, stop - start)"""
        return query[0] @ query[1][start:stop].T

    def vectors_of(self, query: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, D + 1) users and (I, D + 1) items, whose products are the scores."""
        return query

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) what the first, in a history, adds to the score of the second."""
        named, spoken = self.all_vectors()
        return (spoken[left] * named[right]).sum(1)
