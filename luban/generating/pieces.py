"""Text as it comes: whole characters only, and nothing that may yet turn out to begin a stop."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Pieces:
    """Bytes in, text out, until a stop is met."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.stops = [stop for stop in stops if stop]
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.held = ""  # not yet given out
        self.sizes: list[int] = []  # bytes that each of these characters came of
        self.open = 0  # bytes that are no character yet
        self.stopped = False

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """What can be given out now; at the last, everything. After a stop nothing more."""
        if self.stopped:
            return ""
        self.decode(data, last=last)
        places = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if places:
            self.stopped = True
            return self.give(min(places))
        return self.give(len(self.held) if last else len(self.held) - self.waiting())

    def decode(self, data: bytes, *, last: bool) -> None:
        """Bytes to characters: one that stands for what is none came of one byte, two or three, not of its own three."""
        for place in range(len(data) + last):
            byte = data[place : place + 1]
            text = self.decoder.decode(byte, final=not byte)
            self.open += len(byte)
            if text:
                left = len(self.decoder.getstate()[0])
                self.sizes += [self.open - left - (len(text) - 1)] + [1] * (len(text) - 1)
                self.held, self.open = self.held + text, left

    def waiting(self) -> int:
        """Characters at the end that a stop may begin with."""
        longest = max((len(stop) for stop in self.stops), default=0)
        for count in range(min(longest - 1, len(self.held)), 0, -1):
            if any(stop.startswith(self.held[-count:]) for stop in self.stops):
                return count
        return 0

    @property
    def pending(self) -> int:
        """Bytes that were fed and not given out."""
        return sum(self.sizes) + self.open

    def give(self, count: int) -> str:
        """The first characters, which are held no longer."""
        out, self.held, self.sizes = self.held[:count], self.held[count:], self.sizes[count:]
        return out
