"""The example debian-faq: the questions that users of Debian ask most, and the pages that answer them, in English or Chinese.

`debian-gaps` makes questions with places of the same pages: a sentence with a gap, the page's section, and the word that stood there; one in four is asked
of a section that does not hold it. They are made, not asked by anyone, and said to be so.

The package comes by apt, which checks its signature; from it only the pages are read, into memory, and no path of the archive is followed. The
question is taken out of the heading above its answer, or it would be found by itself.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from luban.data.pages import Heading, Page, html
from luban.data.passages import sentences
from luban.errors import MachineError, say
from luban.files import write_whole
from luban.messages import tr

TIMEOUT_S = 300
MOST_FILE, MOST_ALL = 4_000_000, 64_000_000  # bytes; the real pages have 0.1 and 1 million
NUMBERED = re.compile(r"^((?:\d+\.){2,})\s*(.+)", re.DOTALL)
PAGES = {
    "debian-faq": re.compile(r"^\./usr/share/doc/debian/FAQ/([a-z0-9-]+)\.en\.html$"),
    "debian-faq-zh-cn": re.compile(r"^\./usr/share/doc/debian/FAQ/zh-cn/([a-z0-9-]+)\.zh-cn\.html$"),
}
WORD = re.compile(r"[A-Z][A-Za-z]+(?:[ /-][A-Z][A-Za-z]+)*|[a-z]+[-./][a-z0-9./-]*[a-z0-9]|\d[\d.,]*\d|\d")
SHORTEST, MOST_GAPS = 40, 12  # characters of a sentence and a section; gaps of a section
COLUMNS = ("question", "answer", "document")
Entry = tuple[str, str, str]  # question, answer, number of the section


def writer(package: str) -> Callable[[Path], None]:
    """What gets a package's pages into a folder: `documents/*.md` and `questions.csv`."""

    def write(folder: Path) -> None:
        questions = folder / "questions.csv"
        if questions.exists():
            return
        say(tr("downloading {package} (0.5 MB) with apt", package=package))
        rows = []
        for name, text in sorted(pages(archive(package), package).items()):
            entries = list(sections(html(text)))
            if not entries:
                continue
            (folder / "documents").mkdir(parents=True, exist_ok=True)
            document = "\n".join(f"## {number}\n\n{answer}\n" for _, answer, number in entries)
            write_whole(folder / "documents" / f"{name}.md", document.encode())
            rows += [(question, answer, f"{name}.md") for question, answer, _ in entries]
        if not rows:
            raise damaged(package, tr("no question is in it"))
        write_whole(questions, pl.DataFrame(rows, schema=COLUMNS, orient="row").write_csv().encode())

    return write


def gaps(folder: Path) -> None:
    """SQuAD json of sentences with a gap over the English pages."""
    path = folder / "gaps.json"
    if path.exists():
        return
    say(tr("downloading {package} (0.5 MB) with apt", package="debian-faq"))
    found = pages(archive("debian-faq"), "debian-faq")
    texts = [answer for _, text in sorted(found.items()) for _, answer, _ in sections(html(text)) if len(answer) >= SHORTEST]
    articles = [{"title": f"section {number}", "paragraphs": [asked(number, texts)]} for number in range(len(texts))]
    if not articles:
        raise damaged("debian-faq", tr("no question is in it"))
    write_whole(path, json.dumps({"version": "2.0", "data": articles}, ensure_ascii=False).encode())


def asked(number: int, texts: list[str]) -> dict[str, Any]:
    """A section with its own gaps, and one in four of another section's, whose word it does not hold."""
    text, other = texts[number], texts[(number + 1) % len(texts)]
    rows = []
    for place, (question, word, begin) in enumerate(gapped(text)):
        rows.append(
            {"id": f"{number}-{place}", "question": question, "answers": [{"text": word, "answer_start": begin}], "is_impossible": False}
        )
    away = [question for question, word, _ in gapped(other) if word.lower() not in text.lower()]
    for place, question in enumerate(away[: -(-len(rows) // 3)]):
        rows.append({"id": f"{number}-none-{place}", "question": question, "answers": [], "is_impossible": True})
    return {"context": text, "qas": rows}


def gapped(text: str) -> list[tuple[str, str, int]]:
    """(sentence with a gap, what stood there, where in the text): the longest name, number or command of each sentence that is no first word."""
    found = []
    for begin, end in sentences(text):
        words = [word for word in WORD.finditer(text, begin + 1, end) if text[word.start() - 1] in ' (“"']
        if end - begin < SHORTEST or not words:
            continue
        word = max(words, key=lambda one: (len(one[0]), -one.start()))
        question = " ".join(f"{text[begin : word.start()]}____{text[word.end() : end]}".split())
        found.append((question, word[0], word.start()))
    return found[:MOST_GAPS]


def archive(package: str) -> bytes:
    """The files of the package as a tar. Raises MachineError L502, L503."""
    fix = tr("this example needs apt and dpkg, as Debian and Ubuntu have them; check the network and `apt-get update`")
    with tempfile.TemporaryDirectory() as place:
        run(["apt-get", "download", "--quiet", package], Path(place), package, fix)
        found = sorted(Path(place).glob("*.deb"))
        if not found:
            raise MachineError("L502", tr("the package could not be had"), where=package, fix=fix)
        return run(["dpkg-deb", "--fsys-tarfile", found[0].name], Path(place), package, fix)


def run(command: list[str], place: Path, package: str, fix: str) -> bytes:
    """What a command writes. Raises MachineError L502."""
    try:
        result = subprocess.run(command, cwd=place, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError("L502", tr("the package could not be had"), where=package, received=type(error).__name__, fix=fix) from error
    if result.returncode:
        last = result.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise MachineError("L502", tr("the package could not be had"), where=package, received=last or None, fix=fix)
    return result.stdout


def pages(data: bytes, package: str) -> dict[str, str]:
    """Name -> text of each page but the index. Raises MachineError L503."""
    found: dict[str, str] = {}
    left = MOST_ALL
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                name = PAGES[package].match(member.name)
                if not name or not member.isreg() or member.size > min(left, MOST_FILE) or name[1] == "index":
                    continue
                file = tar.extractfile(member)
                if file is not None:
                    left -= member.size
                    found[name[1]] = file.read(MOST_FILE).decode("utf-8")
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise damaged(package, str(error)[:80]) from error
    return found


def damaged(package: str, why: str) -> MachineError:
    """A package that is not what it says."""
    return MachineError("L503", tr("the package is damaged: {why}", why=why), where=package, fix=tr("download it again"))


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


RECIPE = """\
# Which page answers this question? 147 questions on Debian and 16 pages, from the Debian package {package} (GPL-2+).
# Each question is asked of the pages without its own words above them. 4 in 10 questions calibrate "not found", 5 in 10 test.
# Train: luban train recipe.toml    10 s on 2 CPU cores. Expected on the test questions: the answer is among the first 5 passages for {score} (seed 0).
task = "document-answering"
data = ["documents", "questions.csv"]
target = "answer"
model = "rank_fusion"

[inputs]
question = "text"

[split]
validation = 0.4
test = 0.5
"""
GAPS = """\
# Which word stood in the gap? Sentences of the Debian FAQ with a gap over their own sections (GPL-2+): made, not asked by anyone. One in four is asked
# of a section that does not hold the word. Shows spans, places and "no answer"; a good score here says nothing of real questions.
# Train: luban train recipe.toml    3 minutes on 2 CPU cores. F1 {score} on the test questions (seed 0, 100 s on one core), where word overlap has 0.22 and
# saying nothing 0.23: from nothing, 874 questions teach no reading. Name a checkpoint for that: pretrained = "FOLDER" under [model], without size.
task = "question-answering"
data = "gaps.json"
target = "answers"

[inputs]
question = "text"
context = "text"

[model]
kind = "bert"
size = "tiny"

[training]
budget = "3 min"
"""
ENGLISH, CHINESE = (RECIPE.replace("{package}", package) for package in PAGES)
