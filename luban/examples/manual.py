"""The example en-zh: sentences for learners from a package of pip, and Debian's reference manual in both languages."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import polars as pl

from luban.errors import say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr

HSK = "hsk-sentences-audio==1.0.0"
HSK_SHA256 = "9bf16cc7b48a24a10af83d377439d3c6f7571a380937f4645a1cd1590d5d0335"
SENTENCES = "hsk_sentences_audio/data/sentences.json"
MANUALS = ("debian-reference-en", "debian-reference-zh-cn")
CHAPTER = re.compile(r"\./usr/share/debian-reference/([^/]+)\.(en|zh-cn)\.html")
BLOCKS = frozenset(("p", "td", "th", "h1", "h2", "h3", "h4", "dt", "li", "caption"))
LETTERS = re.compile(r"[A-Za-z]{2}")
HAN = re.compile("[\u4e00-\u9fff]")


def write(folder: Path) -> None:
    """`en-zh.csv`: sentences (CC BY-SA 4.0), and the manual (GPL) block by block; each English text once. Raises MachineError L502, L503."""
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (1 MB) with pip", package=HSK))
        wheel = packages.pip(HSK, HSK_SHA256, Path(place))
        with packages.damages(HSK):
            rows = json.loads(packages.of_wheel(wheel, (SENTENCES,))[SENTENCES])
            pairs = {row["translation"]["en"].strip(): row["chinese"].strip() for row in reversed(rows)}
        for left, right in manual(Path(place)):
            pairs.setdefault(left, right)
    table = pl.DataFrame(sorted(pairs.items()), schema={"en": pl.String, "zh": pl.String}, orient="row")
    write_whole(folder / "en-zh.csv", table.write_csv().encode())


def manual(place: Path) -> Iterator[tuple[str, str]]:
    """Blocks of the manual in both languages, chapters whose blocks do not agree left out."""
    say(tr("fetching {packages} with apt (4 MB)", packages=", ".join(MANUALS)))
    chapters: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for package in packages.debs(MANUALS, place):
        with packages.damages(package.name):
            for name, page in packages.of_deb(package, CHAPTER):
                chapters.setdefault(name[1], {})[name[2]] = blocks(page.decode())
    for _, found in sorted(chapters.items()):
        left, right = found.get("en", []), found.get("zh-cn", [])
        if [tag for tag, _ in left] == [tag for tag, _ in right]:
            yield from ((a, b) for (_, a), (_, b) in zip(left, right, strict=True) if LETTERS.search(a) and HAN.search(b))


def blocks(page: str) -> list[tuple[str, str]]:
    """Tag and text of the blocks of a page, in their order."""
    reader = Blocks()
    reader.feed(page)
    return reader.found


class Blocks(HTMLParser):
    """Texts of the innermost blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block that begins inside another one ends its text."""
        if tag in BLOCKS:
            self.text = []
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A block is whole."""
        if tag in BLOCKS and self.open:
            self.open.pop()
            if words := " ".join("".join(self.text).split()):
                self.found.append((tag, words))
            self.text = []

    def handle_data(self, data: str) -> None:
        """Words."""
        self.text.append(data)
