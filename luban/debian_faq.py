"""The example debian-faq: the questions that users of Debian ask most, and the pages that answer them, in English or Chinese.

The package comes by apt, which checks its signature; from it only the pages are read, into memory, and no path of the archive is followed. The
question is taken out of the heading above its answer, or it would be found by itself.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from luban.data.pages import Heading, Page, html
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
ENGLISH, CHINESE = (RECIPE.replace("{package}", package) for package in PAGES)
