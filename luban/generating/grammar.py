"""What may follow, byte by byte: a grammar as terms, and the stacks of terms that are still open.

A state is a set of stacks, each what is still to come in one reading of the bytes so far; an empty stack is a reading that is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """These bytes."""

    data: bytes


@dataclass(frozen=True)
class OneOf:
    """One of these bytes."""

    bytes: frozenset[int]


@dataclass(frozen=True)
class Row:
    """One after the other."""

    parts: tuple[Term, ...]


@dataclass(frozen=True)
class Either:
    """Any one of them."""

    parts: tuple[Term, ...]


@dataclass(frozen=True)
class Many:
    """The part, so many times."""

    part: Term
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Name:
    """A rule by its name; rules may hold each other."""

    name: str


Term = Text | OneOf | Row | Either | Many | Name
Stack = tuple[Term, ...]
State = frozenset[Stack]
MOST_STACKS = 4096


class Grammar:
    """Rules, of which `start` is the whole."""

    def __init__(self, rules: Mapping[str, Term]) -> None:
        self.rules = dict(rules)
        self.known: dict[tuple[State, int], State] = {}
        self.first: State = frozenset({(Name("start"),)})

    def step(self, state: State, byte: int) -> State:
        """What is still to come after one more byte; empty where it cannot stand here."""
        key = (state, byte)
        if key not in self.known:
            if len(self.known) > 200_000:
                self.known.clear()
            found: set[Stack] = set()
            for stack in state:
                self.after(stack, byte, found)
            self.known[key] = frozenset(found)
        return self.known[key]

    def read(self, data: bytes, state: State | None = None) -> State:
        """The state after these bytes."""
        state = self.first if state is None else state
        for byte in data:
            state = self.step(state, byte)
        return state

    def is_whole(self, state: State) -> bool:
        """Whether the bytes so far may be all."""
        return any(self.may_end(stack) for stack in state)

    def may_end(self, stack: Stack) -> bool:
        """Whether nothing more is needed."""
        return all(self.is_empty(term) for term in stack)

    def is_empty(self, term: Term) -> bool:
        """Whether a term may stand for no bytes; a rule never does."""
        match term:
            case Text():
                return not term.data
            case Row():
                return all(map(self.is_empty, term.parts))
            case Either():
                return any(map(self.is_empty, term.parts))
            case Many():
                return term.least == 0 or self.is_empty(term.part)
        return False

    def after(self, stack: Stack, byte: int, found: set[Stack]) -> None:
        """Add what is left of a stack after a byte. Raises ValueError where a grammar has too many readings."""
        waiting = [stack]
        while waiting:
            if len(waiting) + len(found) > MOST_STACKS:
                raise ValueError("too many readings")
            top, *rest = waiting.pop() or (None,)
            below = tuple(rest)
            match top:
                case Text():
                    if not top.data:
                        waiting.append(below)
                    elif top.data[0] == byte:
                        found.add((Text(top.data[1:]), *below) if len(top.data) > 1 else below)
                case OneOf():
                    if byte in top.bytes:
                        found.add(below)
                case Row():
                    waiting.append((*top.parts, *below))
                case Either():
                    waiting += [(part, *below) for part in top.parts]
                case Many():
                    if top.least == 0:
                        waiting.append(below)
                    if top.most is None or top.most > 0:
                        again = Many(top.part, max(0, top.least - 1), None if top.most is None else top.most - 1)
                        waiting.append((top.part, again, *below))
                case Name():
                    waiting.append((self.rules[top.name], *below))
