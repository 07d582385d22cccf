"""The tokenizers of sources and of answers: one for both where they are learnt, maybe two where a checkpoint brings them. Ids stand in one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

import numpy as np

from luban.generating.restraint import Marks
from luban.rewriting.segmenting import ANY_HAN
from luban.rewriting.windows import begins_of
from luban.tokenizing.tokenizer import Tokenizer, bytes_of, cuts_as_luban

OUTLIERS = 1000  # one text in so many may be of any length
LOOKED_AT = 100  # texts, the longest by characters


@dataclass(frozen=True)
class Sides:
    """Both, and what is never said."""

    source: Tokenizer
    answer: Tokenizer
    never: tuple[int, ...] = ()
    """Padding and the mark that begins an answer, as a checkpoint has them; padding first."""

    @property
    def end(self) -> int:
        """Stands behind every source, and ends an answer."""
        return self.answer.stops[0]

    @property
    def begin(self) -> int:
        """Stands before every answer."""
        return self.end if self.answer.begin is None else self.answer.begin

    @property
    def special(self) -> int:
        """Ids from here on are no text."""
        return max(self.source.num_tokens, self.answer.num_tokens)

    @property
    def begins(self) -> np.ndarray:
        """(V,) bool, whether a word begins with the token, on either side."""
        found = np.zeros(self.special, bool)
        for own in (self.source, self.answer):
            found[: own.num_tokens] |= begins_of(own.form, own.tokenizer)
        return found

    def marks(self, num_tokens: int) -> Marks:
        """What frames the answers of a net that knows so many tokens; tags are never said."""
        return Marks(start=(self.begin,), end=self.answer.stops, never=(*self.never, *range(self.special, num_tokens)))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens of either side: what is copied from a source may be no token of answers."""
        if self.source.tokenizer == self.answer.tokenizer:
            return self.answer.decode(ids)
        table = together(self.source.form, self.source.tokenizer, self.answer.form, self.answer.tokenizer)
        return b"".join(table[id] for id in ids).decode("utf-8", "replace").removeprefix(" ")

    def written(self, text: str) -> str:
        """A text as it is to be cut: its first word has the tokens that it has anywhere, where the tokenizer learnt words so."""
        as_it_is = self.source.form == "given" and not cuts_as_luban(self.source.tokenizer)
        return text if as_it_is else spaced(text)


def spaced(text: str) -> str:
    """A space before a text that begins with a letter or digit, Han apart."""
    return f" {text}" if text[:1].isalnum() and not ANY_HAN.match(text) else text


def longest_of(texts: list[str], sides: Sides) -> int:
    """Tokens of the longest of these answers, the longest thousandth left out: some are no answers but accidents."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    few = order[: max(1, len(order) - len(order) // OUTLIERS)][-LOOKED_AT:]
    return int(sides.answer.encode([sides.written(texts[place]) for place in few]).lengths.max())


@lru_cache(maxsize=4)
def together(form: str, source: str, other: str, answer: str) -> list[bytes]:
    """What each id stands for, in answers first."""
    return [said or read for said, read in zip_longest(bytes_of(other, answer), bytes_of(form, source), fillvalue=b"")]
