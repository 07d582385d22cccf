"""Guessing ahead: when the last tokens of an answer stood there before, what followed them then is read along with the next token, and kept as far as it is what would have been said.

One token reads every weight once; a few more in the same pass cost little where memory is what one waits for. A guess is kept only where it equals the
token that the net itself says at that place, so answers stay token for token what they are (Leviathan et al. 2023, section 2, with draws that hang on the
place alone). Guesses come from the prompt and what was said (Yang et al. 2023, section 3; Saxena 2023). How far to guess is decided before each pass: by how
often such guesses held in this answer, and by what passes of so many rows take.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luban.generating.answer import Answer

LONGEST = 3  # tokens by which what was said is found again
APART = 2**24  # more than any vocabulary has
CLASSES = (0, 0, 1, 2, 2, 3, 3, 3, 3, 4)  # of matches of so many tokens; longer ones are in the last
PRIORS = (0.2, 0.4, 0.6, 0.8, 0.9)  # how often a guess of each class holds, before anything is known of the answer
PRIOR = 3.0  # guesses that this belief weighs as much as
MEMORY = 0.85  # a guess counts so much less with each that follows

MOST = 15  # tokens guessed in a pass; the next token and they are a pass of 16
FEW = 8  # rows that a layout is made for, where one answer is said at a time: its next token and guesses
STEPS = (1, 2, 3, 4, 5, 7, 9, 12, 15, 20, 26, 33, 42, 54, 68, 86, 108, 140, 180, 240)  # guesses of all answers that are weighed
WORTH = 1.05  # times the tokens a second that a pass with guesses must promise
HOPE = 0.1  # chance below which a guess is never worth a row

USUAL = [(1, 1.0), (3, 1.15), (4, 1.6), (8, 2.4), (16, 2.9), (128, 6.5)]  # rows, time of a pass: 12 layers of 768, 30 of 576, float32
SLOPE = 0.25  # of a pass's time that twice the rows are first thought to cost
ALIKE = 8  # rows, beyond which passes of a few more are taken for the same
SURE = 3  # passes after which what was measured outweighs what is hoped
PACE = 0.2  # share by which a pass moves what is known of those like it
LONGER = 1.5  # times as long, beyond which it was something else that took the time
FORGOTTEN = 512  # passes after which what was measured is tried again


class Echo:
    """The tokens of one answer and its prompt, where their runs stood last, and how often what followed followed again."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self.tokens: list[int] = []
        self.after: list[dict[int, int]] = [{} for _ in range(LONGEST)]  # of runs of 1, 2 … tokens: the place after the last of each
        self.place = -1  # of the token that is guessed next; -1 = nothing is
        self.length = 0  # of the run before it that is the same as now
        self.chance = list(PRIORS)
        self.held, self.tried = [PRIOR * prior for prior in PRIORS], [PRIOR] * len(PRIORS)
        for token in tokens:
            self.read(token)

    def hear(self, token: int) -> None:
        """One more token was said, whether it was guessed or not: what would have held is learnt either way."""
        if self.place >= 0:
            self.learn(held=self.tokens[self.place] == token)
        self.read(token)

    def learn(self, *, held: bool) -> None:
        """A guess after a run of this length held, or not."""
        kind = CLASSES[min(self.length, len(CLASSES) - 1)]
        self.held[kind] = MEMORY * self.held[kind] + held
        self.tried[kind] = MEMORY * self.tried[kind] + 1
        self.chance[kind] = self.held[kind] / self.tried[kind]

    def read(self, token: int) -> None:
        """One more token: the run that is followed goes on or ends, and the longest that stood there before is looked up."""
        if self.place >= 0 and self.tokens[self.place] == token:
            self.place, self.length = self.place + 1, self.length + 1
        else:
            self.place, self.length = -1, 0
        self.tokens.append(token)
        run, end = 0, len(self.tokens)
        for size, after in enumerate(self.after[:end], start=1):
            run = run * APART + self.tokens[-size] + 1
            if size >= self.length and (place := after.get(run)) is not None and self.length < LONGEST:
                self.place, self.length = place, size
            after[run] = end

    def guess(self, most: int) -> list[int]:
        """What followed then; where that reaches now, it goes round."""
        if self.place < 0:
            return []
        period = len(self.tokens) - self.place
        return [self.tokens[self.place + step % period] for step in range(most)]

    def chances(self, most: int) -> list[float]:
        """The chance that the first guess holds, that the first two do, and so on."""
        found: list[float] = []
        if self.place < 0:
            return found
        chance, last = 1.0, len(CLASSES) - 1
        for length in range(self.length, self.length + most):
            chance *= self.chance[CLASSES[min(length, last)]]
            found.append(chance)
        return found


class Costs:
    """What passes take by their rows, as is usual: so that the same is computed each time, on whatever machine."""

    def note(self, rows: int, seconds: float) -> None:
        """A pass was made."""

    def of(self, rows: int) -> float:
        """What it takes, in any unit."""
        place = min(bisect_right(USUAL, (rows, float("inf"))), len(USUAL) - 1)
        (fewer, least), (more, most) = USUAL[place - 1], USUAL[place]
        return least + (most - least) * (rows - fewer) / (more - fewer)


class Measured(Costs):
    """What passes of one net took lately: where answers come and go anyway, in a service."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.counts: dict[int, int] = {}
        self.latest: dict[int, int] = {}
        self.passes = 0

    def note(self, rows: int, seconds: float) -> None:
        """A pass was made; the first few tell the least it takes, later ones move that by degrees."""
        self.passes += 1
        rows = alike(rows)
        count, known = self.counts.get(rows, 0), self.seconds.get(rows, seconds)
        new = min(known, seconds) if count < SURE else known + PACE * (min(seconds, LONGER * known) - known)
        self.seconds[rows], self.counts[rows], self.latest[rows] = new, count + 1, self.passes
        if self.passes % FORGOTTEN == 0:
            for old in [rows for rows, latest in self.latest.items() if latest <= self.passes - FORGOTTEN]:
                del self.seconds[old], self.counts[old], self.latest[old]

    def of(self, rows: int) -> float:
        """Seconds of a pass, as measured, or as hoped by those of more and fewer rows."""
        rows = alike(rows)
        if self.counts.get(rows, 0) >= SURE:
            return self.seconds[rows]
        return min(self.seconds.get(rows, float("inf")), self.hoped(rows))

    def hoped(self, rows: int) -> float:
        """By the nearest that were measured; beyond them twice the rows cost a little more."""
        fewer = max((one for one in self.seconds if one < rows), default=0)
        more = min((one for one in self.seconds if one > rows), default=0)
        if fewer and more:
            share = (rows - fewer) / (more - fewer)
            return (1 - share) * self.seconds[fewer] + share * self.seconds[more]
        near = fewer or more or 1
        return self.seconds.get(near, 1.0) * (1 + SLOPE * (rows / near - 1))


def alike(rows: int) -> int:
    """Beyond a few, rows up to the next multiple: passes of about as many take about as long."""
    return rows if rows <= ALIKE else -(-rows // ALIKE) * ALIKE


@dataclass(frozen=True)
class Guessing:
    """How far answers are guessed ahead; what is said is the same either way."""

    most: int = MOST
    """Tokens of an answer guessed in a pass; 0 = none."""
    costs: Costs = field(default_factory=Costs)
    """What passes take, by which it is decided how far a guess pays."""


def counts_of(chances: Sequence[Sequence[float]], costs: Costs) -> list[int]:
    """How many tokens of each answer are guessed in the next pass: the likeliest of all, so many that it promises the most tokens a second.

    chances: of each answer, that its first guesses hold, the first two, and so on; as far as it may be guessed.
    """
    count = len(chances)
    likeliest = sorted((chance for one in chances for chance in one if chance > HOPE), reverse=True)
    if not likeliest:
        return [0] * count
    best, rate, expected = 0, WORTH * count / costs.of(count), float(count)
    for guesses, chance in enumerate(likeliest, start=1):
        expected += chance
        if (guesses in STEPS or guesses == len(likeliest)) and expected / costs.of(count + guesses) > rate:
            best, rate = guesses, expected / costs.of(count + guesses)
    return [sum(chance >= likeliest[best - 1] for chance in one) if best else 0 for one in chances]


def guesses_of(answers: Sequence[Answer], guessing: Guessing, room: int) -> list[list[int]]:
    """What each answer may go on with, `room` tokens at most: as many as are worth a pass; after each comes one that is not guessed."""
    rooms = [min(guessing.most, room, answer.settings.max_tokens - len(answer.tokens) - 1) for answer in answers]
    if max(rooms) < 1:
        return [[] for _ in answers]
    echoes = [listen(answer) for answer in answers]
    counts = counts_of([echo.chances(room) for echo, room in zip(echoes, rooms, strict=True)], guessing.costs)
    return [permitted(answer, echo.guess(count)) for answer, echo, count in zip(answers, echoes, counts, strict=True)]


def listen(answer: Answer) -> Echo:
    """The echo of an answer, with all that was said since."""
    if answer.echo is None:
        answer.echo = Echo(answer.prompt.tolist())
    for token in answer.tokens[len(answer.echo.tokens) - len(answer.prompt) :]:
        answer.echo.hear(token)
    return answer.echo


def permitted(answer: Answer, guess: list[int]) -> list[int]:
    """As far as the answer may say it."""
    if answer.allowed is not None:
        for count, token in enumerate(guess):
            allowed = answer.allowed([*answer.tokens, *guess[:count]])
            if allowed is not None and not allowed[token]:
                return guess[:count]
    return guess
