"""Which tokens a grammar allows after an answer so far: the vocabulary as a tree of bytes, walked as far as the grammar goes.

V tokens known. Where a reading is whole, the stops are allowed too; where nothing more can come, they alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from luban.generating.grammar import Grammar, State
from luban.tokenizing.tokenizer import Tokenizer

KEPT = 512  # masks of one grammar
MOST_STATES = 1024  # of answers under way
BACK = 32  # tokens of an answer that may turn out to be said otherwise: they were guessed


@dataclass
class Node:
    """Tokens that end here, and the bytes that go on."""

    tokens: list[int] = field(default_factory=list)
    next: dict[int, Node] = field(default_factory=dict)


@lru_cache(maxsize=2)
def tree_of(form: str, serialised: str) -> Node:
    """The vocabulary by its bytes; tokens that stand for none are left out."""
    root = Node()
    for token, data in enumerate(Tokenizer(form=form, tokenizer=serialised, begin=None, stops=()).bytes):  # type: ignore[arg-type]
        if data:
            node = root
            for byte in data:
                node = node.next.setdefault(byte, Node())
            node.tokens.append(token)
    return root


class Constrained:
    """Called with an answer so far, says which tokens may follow."""

    def __init__(self, grammar: Grammar, tokenizer: Tokenizer, num_tokens: int) -> None:
        self.grammar, self.tokenizer, self.num_tokens = grammar, tokenizer, num_tokens
        self.tree, self.spelt = tree_of(tokenizer.form, tokenizer.tokenizer), tokenizer.bytes
        self.masks: dict[State, Tensor] = {}
        self.states: dict[tuple[int, ...], State] = {(): grammar.first}

    def __call__(self, said: Sequence[int]) -> Tensor:
        """(V,) bool."""
        state = self.state_of(tuple(said))
        if state not in self.masks:
            if len(self.masks) >= KEPT:
                self.masks.clear()
            self.masks[state] = self.mask(state)
        return self.masks[state]

    def state_of(self, said: tuple[int, ...]) -> State:
        """The grammar after an answer, which is one token longer than one seen before."""
        if said not in self.states:
            if len(self.states) >= MOST_STATES:
                self.states = {(): self.grammar.first}
            before = self.states.get(said[:-1])
            before = self.grammar.read(b"".join(self.spelt[token] for token in said[:-1])) if before is None else before
            self.states[said] = self.grammar.read(self.spelt[said[-1]], before)
            if len(said) > BACK:
                self.states.pop(said[:-BACK], None)
        return self.states[said]

    def mask(self, state: State) -> Tensor:
        """(V,) bool, by walking the tree."""
        allowed = torch.zeros(self.num_tokens, dtype=torch.bool)
        found: list[int] = []
        waiting = [(self.tree, state)]
        while waiting:
            node, here = waiting.pop()
            found += node.tokens
            for byte, child in node.next.items():
                if after := self.grammar.step(here, byte):
                    waiting.append((child, after))
        allowed[found] = True
        if self.grammar.is_whole(state) or not found:
            allowed[list(self.tokenizer.stops)] = True
        return allowed
