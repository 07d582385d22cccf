"""The examples debian-faq and debian-faq-zh: the questions that users of Debian ask most, and the pages that answer them, in English or Chinese.

The question is taken out of the heading above its answer, or it would be found by itself.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from luban.data.pages import Heading, Page, html
from luban.errors import say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr

NUMBERED = re.compile(r"^((?:\d+\.){2,})\s*(.+)", re.DOTALL)
PAGES = {
    "debian-faq": re.compile(r"\./usr/share/doc/debian/FAQ/(?!index\.)([a-z0-9-]+)\.en\.html"),
    "debian-faq-zh-cn": re.compile(r"\./usr/share/doc/debian/FAQ/zh-cn/(?!index\.)([a-z0-9-]+)\.zh-cn\.html"),
}
COLUMNS = ("question", "answer", "document")
Entry = tuple[str, str, str]  # question, answer, number of the section


def writer(package: str) -> Callable[[Path], None]:
    """What gets a package's pages into a folder: `documents/*.md` and `questions.csv`."""

    def write(folder: Path) -> None:
        rows = []
        for name, text in sorted(pages(package).items()):
            entries = list(sections(html(text)))
            if not entries:
                continue
            (folder / "documents").mkdir(parents=True, exist_ok=True)
            document = "\n".join(f"## {number}\n\n{answer}\n" for _, answer, number in entries)
            write_whole(folder / "documents" / f"{name}.md", document.encode())
            rows += [(question, answer, f"{name}.md") for question, answer, _ in entries]
        if not rows:
            raise packages.damaged(package, tr("no question is in it"))
        write_whole(folder / "questions.csv", pl.DataFrame(rows, schema=COLUMNS, orient="row").write_csv().encode())

    return write


def pages(package: str) -> dict[str, str]:
    """Name -> text of each page but the index. Raises MachineError L502, L503."""
    say(tr("downloading {package} (0.5 MB) with apt", package=package))
    with tempfile.TemporaryDirectory() as place:
        file = packages.debs((package,), Path(place))[0]
        with packages.damages(package):
            return {name[1]: text.decode() for name, text in packages.of_deb(file, PAGES[package])}


def sections(page: Page) -> list[Entry]:
    """Question, answer and number of each numbered section; what follows the next heading is another's."""
    found = []
    following: tuple[Heading | None, ...] = (*page.headings[1:], None)
    for heading, after in zip(page.headings, following, strict=False):
        named = NUMBERED.match(heading.text)
        answer = page.text[heading.end : after.begin if after else None].strip()
        if named and answer:
            found.append((" ".join(named[2].split()), answer, named[1].rstrip(".")))
    return found
