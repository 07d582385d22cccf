"""The examples en-fr, en-de and synopses: what Debian's programs are, from the descriptions that its archive carries with their translations."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from luban.errors import MachineError, say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr


def descriptions(place: Path, languages: tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
    """For each language: checksum of the English description -> synopsis and paragraphs. Raises MachineError L502."""
    say(tr("fetching the archive's descriptions with apt (20 MB)"))
    packages.apt(["update"], place, ",".join(languages))
    found: dict[str, dict[str, list[str]]] = {}
    for language in languages:
        files = sorted((place / "lists").glob(f"*_i18n_Translation-{language}"))
        if not files:
            what = tr("apt brought no descriptions in {language}", language=language)
            raise MachineError("L502", what, where="apt-get update", fix=packages.apt_fix())
        found[language] = {}
        for file in files:
            for checksum, parts in stanzas(file.read_text(encoding="utf-8", errors="replace"), language):
                found[language].setdefault(checksum, parts)
    return found


def stanzas(text: str, language: str) -> Iterator[tuple[str, list[str]]]:
    """Checksum, then synopsis and paragraphs, of every package; lists and tables in a description are left out."""
    for stanza in text.split("\n\n"):
        checksum = re.search(r"^Description-md5: (\w+)$", stanza, re.MULTILINE)
        body = re.search(rf"^Description-{language}: (.*(?:\n .*)*)", stanza, re.MULTILINE)
        if checksum and body:
            synopsis, _, rest = body[1].partition("\n")
            paragraphs = [paragraph for paragraph in re.split(r"(?m)^ \.\s*$", rest) if paragraph.strip()]
            yield checksum[1], [synopsis.strip(), *(plain(paragraph) for paragraph in paragraphs)]


def plain(paragraph: str) -> str:
    """A paragraph as one line; "" for one with a list, whose lines stand further in."""
    lines = paragraph.strip("\n").split("\n")
    return "" if any(line.startswith("  ") for line in lines) else " ".join(line.strip() for line in lines)


def segments(language: str) -> Callable[[Path], None]:
    """English with another language: synopses, and paragraphs where both have as many; each English text once."""

    def write(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            known = descriptions(Path(place), ("en", language))
        pairs: dict[str, str] = {}
        for checksum, other in sorted(known[language].items()):
            english = known["en"].get(checksum, [])
            for left, right in (
                zip(english, other, strict=False) if len(english) == len(other) else list(zip(english, other, strict=False))[:1]
            ):
                if left and right and left != right:
                    pairs.setdefault(left, right)
        table = pl.DataFrame(sorted(pairs.items()), schema={"en": pl.String, language: pl.String}, orient="row")
        write_whole(folder / f"en-{language}.csv", table.write_csv().encode())

    return write


def synopses(folder: Path) -> None:
    """What a program does in some sentences, and in one line; each line once. Programs that share their first paragraph are one family."""
    with tempfile.TemporaryDirectory() as place:
        known = descriptions(Path(place), ("en",))["en"]
    rows: dict[str, tuple[str, str, str]] = {}
    for _, parts in sorted(known.items()):
        whole = " ".join(part for part in parts[1:] if part)
        if parts[0] and len(whole) >= 2 * len(parts[0]):
            rows.setdefault(parts[0], (whole, parts[0], key_name(parts[1] or whole)))
    table = pl.DataFrame(sorted(rows.values()), schema=dict.fromkeys(("description", "synopsis", "family"), pl.String), orient="row")
    write_whole(folder / "synopses.csv", table.write_csv().encode())


def key_name(text: str) -> str:
    """A short name for a text, the same each time."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]
