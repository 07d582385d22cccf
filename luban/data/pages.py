"""Documents as their text and the headings in it: plain text, Markdown, and HTML, of which nothing is run and nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser

HIDDEN = {
    "script",
    "style",
    "template",
    "noscript",
    "svg",
    "math",
    "object",
    "iframe",
    "head",
    "select",
    "button",
    "nav",
    "textarea",
    "canvas",
}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main", "ol", "p", "pre",
    "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}
ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")


@dataclass(frozen=True)
class Heading:
    """Where it stands in the text, and how deep."""

    begin: int
    end: int
    level: int  # 1 … 6
    text: str


@dataclass(frozen=True)
class Page:
    """The text that spans count in, and its headings in order; a title is what the file calls itself."""

    text: str
    headings: tuple[Heading, ...] = ()
    title: str = ""


def plain(text: str) -> Page:
    """Text as it stands."""
    return Page(text)


def markdown(text: str) -> Page:
    """Markdown as it stands; headings of both kinds are known, those within fences are none."""
    found, place, fenced, before = [], 0, "", ("", 0)
    for line in text.split("\n"):
        end = place + len(line)
        fence = FENCE.match(line)
        if fence and fenced in ("", fence[1]):
            fenced = "" if fenced else fence[1]
        elif not fenced and (atx := ATX.match(line)):
            found.append(Heading(place, end, len(atx[1]), atx[2].strip()))
        elif not fenced and (under := UNDERLINE.match(line)) and before[0].strip() and not ATX.match(before[0]):
            found.append(Heading(before[1], end, 1 if under[1][0] == "=" else 2, before[0].strip()))
        before, place = (line, place), end + 1
    return Page(text, tuple(found))


def html(text: str) -> Page:
    """What a reader of the page sees; scripts, styles, forms and navigation are left out, and spaces folded but in `pre`."""
    parser = Visible()
    parser.feed(text)
    parser.close()
    return parser.page()


class Visible(HTMLParser):
    """Text outside hidden elements, a line for each block. A page that closes nothing costs no more than one that does."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.length = 0
        self.hidden: str | None = None  # the element that hides, and how many of its name are open
        self.depth = 0
        self.kept = 0  # open `pre`
        self.heading: tuple[int, int] | None = None  # level, begin
        self.headings: list[Heading] = []
        self.title: list[str] = []
        self.titled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A new block begins a line."""
        if tag == "title" and not self.title:
            self.titled = True
        if self.hidden:
            self.depth += tag == self.hidden
        elif tag in HIDDEN:
            self.hidden, self.depth = tag, 1
        elif tag == "br":
            self.put("\n")
        elif tag in ("td", "th"):
            self.put(" ")
        elif tag in BLOCKS:
            self.end_line()
            self.kept += tag == "pre"
            if tag in HEADINGS:
                self.heading = (HEADINGS[tag], self.length)
        if tag == "body" and self.hidden == "head":
            self.hidden = None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<br/>`; in HTML the slash closes nothing else."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """The end of a block ends its line."""
        if tag == "title":
            self.titled = False
        if self.hidden:
            self.depth -= tag == self.hidden
            self.hidden = self.hidden if self.depth > 0 else None
        elif tag in BLOCKS:
            if self.heading and tag in HEADINGS:
                level, begin = self.heading
                self.headings.append(Heading(begin, self.length, level, ""))
                self.heading = None
            self.kept -= tag == "pre" and self.kept > 0
            self.end_line()

    def handle_data(self, data: str) -> None:
        """Text; spaces and line ends are one space but where they are kept."""
        if self.titled:
            self.title.append(data)
        if self.hidden:
            return
        if self.kept:
            self.put(data.replace("\r", ""))
            return
        folded = re.sub(r"[ \t\n\r\f]+", " ", data)
        if self.ends_with(" ", "\n", "") and folded.startswith(" "):
            folded = folded[1:]
        self.put(folded)

    def ends_with(self, *ends: str) -> bool:
        """Whether the text so far ends so; "" = there is none."""
        return (self.parts[-1][-1] if self.parts else "") in ends

    def put(self, text: str) -> None:
        """More text."""
        if text:
            self.parts.append(text)
            self.length += len(text)

    def end_line(self) -> None:
        """At the beginning of a line, whatever stood before."""
        if not self.ends_with("\n", ""):
            self.put("\n")

    def page(self) -> Page:
        """The whole."""
        text = "".join(self.parts)
        named = [Heading(h.begin, h.end, h.level, text[h.begin : h.end].strip()) for h in self.headings]
        return Page(text, tuple(h for h in named if h.text), " ".join("".join(self.title).split()))


READ: dict[str, Callable[[str], Page]] = {".txt": plain, ".text": plain, ".md": markdown, ".html": html, ".htm": html}
