"""Conversations as rows of a table have them, and as tokens of which only the answers are learnt.

A cell is a list of turns {role, content}, the same as JSON, or a plain text, which is one turn of the user.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luban.errors import DataError, RecipeError
from luban.language.template import Template
from luban.messages import tr
from luban.tokenizing.tokenizer import Tokenizer

ASSISTANT, USER = "assistant", "user"


def turns_of(cell: Any, where: str = "") -> list[Mapping[str, Any]]:
    """The turns of a cell. Raises DataError L275 for what is no conversation."""
    if isinstance(cell, str) and cell.lstrip()[:1] == "[":
        try:
            found = json.loads(cell)
            cell = found if isinstance(found, list) and all(isinstance(turn, dict) for turn in found) else cell
        except (ValueError, RecursionError):
            pass  # a text that only looks like it
    if isinstance(cell, str) and cell.strip():
        return [{"role": USER, "content": cell}]
    if isinstance(cell, list) and cell and all(isinstance(turn, Mapping) for turn in cell):
        return cell
    raise DataError("L275", tr("a turn has no text"), where=where, received=cell, fix=tr("give each turn role and content"))


@dataclass(frozen=True)
class Scribe:
    """Writes conversations as a tokenizer and its template have them."""

    tokenizer: Tokenizer
    template: Template

    @property
    def stop(self) -> int:
        """The token that ends an answer. Raises RecipeError L277 where a given vocabulary has no such token."""
        if self.tokenizer.form != "given":
            return self.tokenizer.stops[0]
        found = self.tokenizer.id_of(self.template.stop)
        if found is None:
            what = tr("the template's stop is not a token of the vocabulary")
            raise RecipeError("L277", what, where="task.template.stop", received=self.template.stop)
        return found

    def whole(self, turns: list[Mapping[str, Any]], where: str = "") -> tuple[list[int], list[bool]]:
        """Tokens of a conversation, and which of them are learnt: what the assistant says, and that it then stops. Raises DataError L274, L275."""
        tokens: list[int] = [] if self.tokenizer.begin is None or self.tokenizer.form != "given" else [self.tokenizer.begin]
        learnt = [False] * len(tokens)
        rest = self.tokenizer.encode_marked(self.template.closing[len(self.template.stop) :])
        for role, opening, content in self.template.turns(turns, where):
            before, said = self.tokenizer.encode_marked(opening), self.tokenizer.encode([content]).flat().tolist()
            tokens += [*before, *said, self.stop, *rest]
            learnt += [False] * len(before) + [role == ASSISTANT] * (len(said) + 1) + [False] * len(rest)
        return tokens, learnt

    def prompt(self, turns: list[Mapping[str, Any]], where: str = "") -> list[int]:
        """Tokens as far as the answer begins; answers that stand at the end are left out."""
        while turns and turns[-1].get("role") == ASSISTANT:
            turns = turns[:-1]
        return self.whole(turns, where)[0] + self.tokenizer.encode_marked(self.template.opening.replace("{role}", ASSISTANT))
