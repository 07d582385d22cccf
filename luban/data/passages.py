"""A page cut into passages: whole paragraphs under one heading as far as they fit together, long ones at ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from luban.data.pages import Page

LONGEST = 1000  # characters of a passage
SENTENCE = re.compile(r"[。！？；!?]+[”’」』）)\"']*|[.!?]+[\"')\]”’]*(?=\s|$)|\n")
PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")


@dataclass(frozen=True)
class Passage:
    """A span of the page's text and the headings above it."""

    begin: int
    end: int
    heading: str


def passages(page: Page, longest: int = LONGEST) -> Iterator[Passage]:
    """Spans in order; none holds a heading, none is blank, none crosses a heading."""
    trail: list[tuple[int, str]] = []
    begin = 0
    for heading in (*page.headings, None):
        end = heading.begin if heading else len(page.text)
        name = " › ".join(text for _, text in trail)
        for first, last in joined(page.text, paragraphs(page.text, begin, end), longest):
            yield Passage(first, last, name)
        if heading:
            trail = [entry for entry in trail if entry[0] < heading.level] + [(heading.level, heading.text)]
            begin = heading.end


def paragraphs(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans between blank lines, without the space around them."""
    for found in PARAGRAPH.finditer(text, begin, end):
        first, last = stripped(text, *found.span())
        if first < last:
            yield first, last


def joined(text: str, spans: Iterator[tuple[int, int]], longest: int) -> Iterator[tuple[int, int]]:
    """Neighbours put together as long as they fit."""
    begin = last = -1
    for first, end in spans:
        for a, b in pieces(text, first, end, longest):
            if begin >= 0 and b - begin <= longest:
                last = b
                continue
            if begin >= 0:
                yield begin, last
            begin, last = a, b
    if begin >= 0:
        yield begin, last


def pieces(text: str, begin: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """A span in parts that are short enough, cut after a sentence, else before a space, else anywhere."""
    while end - begin > longest:
        cut = max((found.end() for found in SENTENCE.finditer(text, begin, begin + longest)), default=0)
        cut = cut if cut > begin + longest // 3 else text.rfind(" ", begin + 1, begin + longest)
        cut = cut if cut > begin else begin + longest
        first, last = stripped(text, begin, cut)
        if first < last:
            yield first, last
        begin = cut
    first, last = stripped(text, begin, end)
    if first < last:
        yield first, last


def sentences(text: str, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Spans of the sentences, in any script; an end of line ends one too."""
    end = len(text) if end is None else end
    for found in (*SENTENCE.finditer(text, begin, end), None):
        first, last = stripped(text, begin, found.end() if found else end)
        if first < last:
            yield first, last
        begin = found.end() if found else end


def stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    """The span without space at its ends."""
    part = text[begin:end]
    lead = len(part) - len(part.lstrip())
    return begin + lead, begin + max(lead, len(part.rstrip()))
