"""The beams of a batch of sources: which answers are followed, which are done, and when a source is.

B sources at work, M beams of each, R = B·M rows of answers, P tokens given, K candidates, V tokens known.
A source is done when as many answers as beams have ended and the best that goes on, at its length, is no better than the worst of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from luban.generating.restraint import Kept, Marks, Spans, favour, kept_of, restrain
from luban.generating.settings import Search

BLOCK = 64  # logits whose largest is found first
SHARE = 8  # the batch is made smaller once one source in so many is done


@dataclass(frozen=True)
class Hypothesis:
    """One answer: its tokens without what it was given to begin with and without the end."""

    tokens: list[int]
    logs: list[float]
    """Logarithm of each token's chance, the end's too."""
    score: float
    """What answers are ranked by."""
    finish: Literal["stop", "length"]

    @property
    def log_chance(self) -> float:
        """Logarithm of the chance of the whole answer."""
        return math.fsum(self.logs)

    @property
    def confidence(self) -> float:
        """In (0, 1]: the geometric mean of the tokens' chances; 0 for an answer that says nothing at all."""
        return math.exp(self.log_chance / len(self.logs)) if self.logs else 0.0


class Beams:
    """Answers to sources, one token longer with each `say`."""

    def __init__(
        self,
        start: Tensor,
        least: Tensor,
        most: Tensor,
        settings: Search,
        marks: Marks,
        spans: Sequence[Spans],
        device: torch.device,
    ) -> None:
        count, self.given = start.shape
        self.settings, self.marks, self.device = settings, marks, device
        self.width, self.count = settings.width, 0  # beams wanted; tokens said
        self.tokens = torch.zeros(count, 1, self.given + int(most.max()), dtype=torch.int64)  # (B, M, P + most)
        self.tokens[:, 0, : self.given] = start
        self.logs = torch.zeros(count, 1, int(most.max()))  # (B, M, most)
        self.scores = torch.zeros(count, 1)  # (B, M) sums that answers are ranked by; -inf = no such beam
        self.least, self.most = least, most
        self.kept: list[Kept] = [kept_of(one) for one in spans] if settings.keep else []
        self.owner = torch.arange(count)  # (B,) which source of the batch
        self.going = torch.ones(count, dtype=torch.bool)  # (B,) not done
        self.found: list[list[Hypothesis]] = [[] for _ in range(count)]  # of all sources of the batch, best first
        self.worst = torch.full((count,), -torch.inf)  # (B,) score that one more answer must pass
        self.ends = torch.tensor(marks.end, dtype=torch.int64)
        self.wanted = 1 if self.width == 1 else max(2, 1 + len(marks.end)) * self.width  # candidates: as many go on as there are beams

    @property
    def alive(self) -> bool:
        """Whether any source is not done."""
        return bool(self.going.any())

    @property
    def last(self) -> Tensor:
        """(R, 1) the newest token of each beam."""
        return self.tokens[:, :, self.given + self.count - 1].reshape(-1, 1)

    def newest(self) -> tuple[int, float]:
        """The token said last by the first beam of the first source, and the logarithm of its chance."""
        return int(self.tokens[0, 0, self.given + self.count - 1]), float(self.logs[0, 0, self.count - 1])

    def say(self, logits: Tensor) -> Tensor | None:
        """One more token of each by (R, V) logits; the row that each new row goes on from, None = its own."""
        logits = logits.float().cpu()
        whole = logits.logsumexp(-1)  # (R,)
        pure = logits.clone() if self.keeps else logits
        self.bound(logits)
        if self.width == 1:
            return self.say_likeliest(logits, pure, whole)
        beam, token, score = self.candidates(logits, whole)  # (B, K)
        log = (pure.view(*self.scores.shape, -1)[torch.arange(len(beam))[:, None], beam, token]) - whole.view(self.scores.shape).gather(
            1, beam
        )
        self.count += 1
        ended = torch.isin(token, self.ends)
        full = self.count >= self.most  # (B,)
        self.collect(beam, token, score, log, ended | full[:, None])
        stay = score.masked_fill(ended, -torch.inf).topk(min(self.width, score.shape[1]), sorted=True)
        rows = self.follow(beam.gather(1, stay.indices), token.gather(1, stay.indices), log.gather(1, stay.indices), stay.values)
        self.going &= ~full & self.hopeful()
        return rows

    def bound(self, logits: Tensor) -> None:
        """What must not be said, and what is favoured, in place."""
        width = self.scores.shape[1]
        said = self.tokens[:, :, : self.given + self.count].flatten(0, 1)  # (R, P + count)
        least = self.least.repeat_interleave(width)
        restrain(logits, said, least, marks=self.marks, no_repeat=self.settings.no_repeat, given=self.given)
        if self.keeps:
            kept = [one for one in self.kept for _ in range(width)]
            favour(logits, said[:, self.given :], kept, self.settings.keep, self.marks.end, self.wanted)

    @property
    def keeps(self) -> bool:
        """Whether any source at work has something to keep."""
        return any(one.spans for one in self.kept)

    def say_likeliest(self, logits: Tensor, pure: Tensor, whole: Tensor) -> None:
        """The likeliest token of each, where one answer is followed."""
        value, token = logits.max(-1)
        rows = torch.arange(len(token))
        self.scores[:, 0] += value - whole
        self.tokens[:, 0, self.given + self.count] = token
        self.logs[:, 0, self.count] = pure[rows, token] - whole
        self.count += 1
        ended = torch.isin(token, self.ends)
        over = (ended | (self.count >= self.most)) & self.going
        for row in over.nonzero()[:, 0].tolist():
            stop = bool(ended[row])
            tokens = self.tokens[row, 0, self.given : self.given + self.count - stop].tolist()
            logs, score = self.logs[row, 0, : self.count].tolist(), float(self.scores[row, 0]) / self.measure(self.count)
            self.found[int(self.owner[row])] = [Hypothesis(tokens, logs, score, "stop" if stop else "length")]
        self.going &= ~over

    def candidates(self, logits: Tensor, whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K) beam, token and score of the best continuations of each source, best first."""
        batch, width = self.scores.shape
        value, token = largest(logits, min(self.wanted, logits.shape[1]))  # (R, k)
        each = value.shape[1]
        score = ((value - whole[:, None]).view(batch, width, each) + self.scores[:, :, None]).flatten(1)  # (B, M·k)
        best = score.topk(min(self.wanted, score.shape[1]), sorted=True)
        return best.indices // each, token.view(batch, -1).gather(1, best.indices), best.values

    def collect(self, beam: Tensor, token: Tensor, score: Tensor, log: Tensor, over: Tensor) -> None:
        """Keep what ended among the first M candidates of each source that is not done."""
        over = over[:, : self.width] & self.going[:, None] & (score[:, : self.width] > -torch.inf)
        for row, place in over.nonzero().tolist():
            one, said = int(beam[row, place]), int(token[row, place])
            stop = said in self.marks.end
            tokens = self.tokens[row, one, self.given : self.given + self.count - 1].tolist() + ([] if stop else [said])
            logs = [*self.logs[row, one, : self.count - 1].tolist(), float(log[row, place])]
            ranked = float(score[row, place]) / self.measure(self.count)
            kept = self.found[int(self.owner[row])]
            kept.append(Hypothesis(tokens, logs, ranked, "stop" if stop else "length"))
            kept.sort(key=lambda one: -one.score)
            del kept[self.width :]
            if len(kept) == self.width:
                self.worst[row] = kept[-1].score

    def follow(self, beam: Tensor, token: Tensor, log: Tensor, score: Tensor) -> Tensor | None:
        """Go on with (B, M) beams and tokens; the row of each in the step before, None = its own."""
        before = self.scores.shape[1]
        index = torch.arange(len(beam))[:, None]
        self.tokens, self.logs, self.scores = self.tokens[index, beam], self.logs[index, beam], score
        self.tokens[:, :, self.given + self.count - 1], self.logs[:, :, self.count - 1] = token, log
        rows = (index * before + beam).flatten()
        same = before == beam.shape[1] and torch.equal(rows, torch.arange(len(rows)))
        return None if same else rows

    def hopeful(self) -> Tensor:
        """(B,) whether an answer that goes on may still be among the best."""
        best = self.scores[:, 0]
        return (best / self.measure(self.count) > self.worst) & (best > -torch.inf)

    def compact(self, rows: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Leave out the sources that are done, once they are many: those that stay (A,), and the rows (A·M,) their beams go on from."""
        if int((~self.going).sum()) * SHARE < len(self.going):
            return None
        kept = self.going.nonzero()[:, 0]
        rows = torch.arange(self.scores.numel()) if rows is None else rows
        rows = rows.view(len(self.going), -1)[kept].flatten()
        for name in ("tokens", "logs", "scores", "least", "most", "owner", "worst", "going"):
            setattr(self, name, getattr(self, name)[kept])
        self.kept = [self.kept[row] for row in kept.tolist()] if self.kept else []
        return kept, rows

    def measure(self, count: int) -> float:
        """What a sum over so many tokens is divided by."""
        return float(count**self.settings.length_penalty)


def largest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(R, V) -> (R, count) largest values and their places: they lie in the blocks whose largest are the largest, and only those are sorted."""
    blocks = x.shape[1] // BLOCK
    if blocks <= 2 * count:
        return tuple(x.topk(count, sorted=False))  # type: ignore[return-value]
    whole = x[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    chosen = whole.amax(-1).topk(count, sorted=False).indices  # (R, count)
    places = (chosen[..., None] * BLOCK + torch.arange(BLOCK)).flatten(1)
    rest = torch.arange(blocks * BLOCK, x.shape[1]).expand(len(x), -1)
    places = torch.cat([places, rest], 1)
    best = x.gather(1, places).topk(count, sorted=False)
    return best.values, places.gather(1, best.indices)
