"""Pairs of texts for `luban example`: sentences from a package of pip, manuals and descriptions of programs from Debian's archive by apt.

Nothing is installed and nothing outside the folder changes: apt fetches into a folder of its own, and packages are only unpacked.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl

from luban.errors import MachineError, say
from luban.files import write_whole
from luban.messages import tr

HSK = "hsk-sentences-audio==1.0.0"
HSK_SHA256 = "9bf16cc7b48a24a10af83d377439d3c6f7571a380937f4645a1cd1590d5d0335"
SENTENCES = "hsk_sentences_audio/data/sentences.json"
MANUALS = ("debian-reference-en", "debian-reference-zh-cn")
TIMEOUT_S = 600
BLOCKS = frozenset(("p", "td", "th", "h1", "h2", "h3", "h4", "dt", "li", "caption"))
LETTERS = re.compile(r"[A-Za-z]{2}")
HAN = re.compile("[\u4e00-\u9fff]")


def apt(command: list[str], place: Path, folder: Path | None = None) -> None:
    """One command of apt over lists and a cache of its own. Raises MachineError L502."""
    own = {"Dir::State::lists": place / "lists", "Dir::Cache": place / "cache", "Debug::NoLocking": 1, "APT::Sandbox::User": ""}
    own |= {"Acquire::Languages": "en,fr,de", "Acquire::GzipIndexes": "false"}
    for name in ("lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    whole = ["apt-get", "-qq", *(part for key, value in own.items() for part in ("-o", f"{key}={value}")), *command]
    fix = tr("this example needs Debian's apt and its archive; take one that does not: `luban example digits`")
    try:
        result = subprocess.run(whole, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError("L502", tr("apt could not be run, or took too long"), where=command[0], fix=fix) from error
    if result.returncode and command[0] != "update":  # of several archives one may be out of reach: what came decides
        last = next((line for line in reversed(result.stderr.splitlines()) if line.strip()), "")
        raise MachineError("L502", tr("the package could not be had"), where=command[-1], received=last or None, fix=fix)


def descriptions(place: Path, languages: tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
    """For each language: checksum of the English description -> synopsis and paragraphs. Raises MachineError L502."""
    say(tr("fetching the archive's descriptions with apt (20 MB)"))
    apt(["update"], place)
    found: dict[str, dict[str, list[str]]] = {}
    for language in languages:
        files = sorted((place / "lists").glob(f"*_i18n_Translation-{language}"))
        if not files:
            fix = tr("this example needs Debian's apt and its archive; take one that does not: `luban example digits`")
            raise MachineError("L502", tr("apt brought no descriptions in {language}", language=language), where="apt-get update", fix=fix)
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
        path = folder / f"en-{language}.csv"
        if path.exists():
            return
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
        write_whole(path, table.write_csv().encode())

    return write


def synopses(folder: Path) -> None:
    """What a program does in some sentences, and in one line; each line once. Programs that share their first paragraph are one family."""
    path = folder / "synopses.csv"
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as place:
        known = descriptions(Path(place), ("en",))["en"]
    rows: dict[str, tuple[str, str, str]] = {}
    for _, parts in sorted(known.items()):
        whole = " ".join(part for part in parts[1:] if part)
        if parts[0] and len(whole) >= 2 * len(parts[0]):
            rows.setdefault(parts[0], (whole, parts[0], key_name(parts[1] or whole)))
    table = pl.DataFrame(sorted(rows.values()), schema=dict.fromkeys(("description", "synopsis", "family"), pl.String), orient="row")
    write_whole(path, table.write_csv().encode())


def key_name(text: str) -> str:
    """A short name for a text, the same each time."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def chinese(folder: Path) -> None:
    """English and Chinese: sentences for learners (CC BY-SA 4.0), and Debian's reference manual (GPL) block by block."""
    path = folder / "en-zh.csv"
    if path.exists():
        return
    from luban import examples

    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (1 MB) with pip", package=HSK))
        wheel = examples.download(HSK, HSK_SHA256, Path(place))
        raw = json.loads(examples.unpack_wheel(wheel, (SENTENCES,))[SENTENCES])
        pairs = {row["translation"]["en"].strip(): row["chinese"].strip() for row in reversed(raw)}
        for left, right in manual(Path(place)):
            pairs.setdefault(left, right)
    table = pl.DataFrame(sorted(pairs.items()), schema={"en": pl.String, "zh": pl.String}, orient="row")
    write_whole(path, table.write_csv().encode())


def manual(place: Path) -> Iterator[tuple[str, str]]:
    """Blocks of the manual in both languages, chapters whose blocks do not agree left out."""
    say(tr("fetching {packages} with apt (4 MB)", packages=", ".join(MANUALS)))
    apt(["update"], place)
    apt(["download", *MANUALS], place, place)
    for package in sorted(place.glob("*.deb")):
        try:
            subprocess.run(["dpkg-deb", "-x", str(package), str(place / "whole")], check=True, capture_output=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise MachineError("L503", tr("the package is damaged: {why}", why=str(error)[:80]), where=package.name) from error
    for english in sorted((place / "whole/usr/share/debian-reference").glob("*.en.html")):
        other = english.with_name(english.name.replace(".en.", ".zh-cn."))
        if other.is_file():
            left, right = (blocks(file.read_text(encoding="utf-8")) for file in (english, other))
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


def echo(folder: Path) -> None:
    """Sequences of one to ten of 39 symbols, to be copied: 20,000 to learn from and 200 that are not among them."""
    if (folder / "test.csv").exists():
        return
    rng, rows = np.random.default_rng(0), dict[str, None]()
    while len(rows) < 20_200:
        rows[" ".join(f"s{symbol:02}" for symbol in rng.integers(1, 40, rng.integers(1, 11)))] = None
    texts = list(rows)
    for name, part in (("train.csv", texts[:-200]), ("test.csv", texts[-200:])):
        write_whole(folder / name, pl.DataFrame({"source": part, "target": part}).write_csv().encode())


ECHO_RECIPE = """\
# Say it again: sequences of up to ten symbols. Transformer encoder and decoder, width 64, 4 heads, 2 + 2 layers, 40 tokens: 173,608 parameters.
# Train: luban train recipe.toml    2 minutes on one core. Expected on the test rows: all 200 copied, chrF {score} (seed 0).
data = {train = "train.csv", test = "test.csv"}
target = "target"

[task]
kind = "text-to-text"
tokenizer = "symbols"
label_smoothing = 0.0
generation = {beams = 1, max_tokens = 11}

[inputs]
source = "text"

[model]
kind = "encoder_decoder"
width = 64
layers = 2
heads = 4
hidden = 128
context = 12
positions = "learned"
norm = "layer"
activation = "relu"
bias = true
qk_norm = false
tied = false
head_bias = true
zero_init = false

[training]
optimizer = "adam"
learning_rate = 1e-3
batch_size = 64
steps = 1500
weight_decay = 0.0
clip_norm = 0.0
warmup = 0.0
schedule = "constant"
precision = "float32"
seed = 0

[split]
validation = 0.0

[evaluation]
baselines = false
"""

CHINESE_RECIPE = """\
# English to Chinese: sentences for learners (hsk-sentences, CC BY-SA 4.0) and Debian's reference manual, both fetched; 9,000 pairs are few.
# Train: luban train recipe.toml    15 minutes on 2 CPU cores. Expected on the test rows: chrF {score} (seed 0).
data = "en-zh.csv"
target = "zh"

[task]
kind = "translation"
vocabulary = 4096

[inputs]
en = "text"

[model]
kind = "encoder_decoder"
size = "small"
dropout = 0.2

[training]
batch_size = 32          # a step of 256 pairs takes seconds on a CPU: few steps would be left
optimizer = "muon"       # after 250 steps of en-fr 4.96 nats a token on validation, adamw 5.90
learning_rate = 0.005
schedule = "linear"
budget = "15 min"
seed = 0
"""

SEGMENTS_RECIPE = """\
# English to {language}: what Debian's packages are, line by line and paragraph by paragraph, from the archive's own translations.
# Train: luban train recipe.toml    30 minutes on 2 CPU cores. Expected on the test rows: chrF {score} (seed 0).
data = "en-{code}.csv"
target = "{code}"

[task]
kind = "translation"

[inputs]
en = "text"

[model]
kind = "encoder_decoder"
size = "small"
width = 256              # steps are hardly slower than at 192, and learn more
heads = 8

[training]
batch_size = 32          # a step of 256 pairs takes seconds on a CPU: few steps would be left
optimizer = "muon"       # after 250 steps of en-fr 4.96 nats a token on validation, adamw 5.90
learning_rate = 0.005
schedule = "linear"
budget = "30 min"
seed = 0

[reading]
reject_limit = 0.02
"""

SYNOPSES_RECIPE = """\
# One line for a description: what a Debian package does, from its own words. The first words of the description reach ROUGE-1 0.27.
# Train: luban train recipe.toml    30 minutes on 2 CPU cores. Expected on the test rows: ROUGE-1 {score} (seed 0).
data = "synopses.csv"
target = "synopsis"

[task]
kind = "summarization"
context = 192

[inputs]
description = "text"

[split]
group = "family"         # programs of one family stay together: their descriptions are nearly the same

[model]
kind = "encoder_decoder"
size = "small"
width = 256              # steps are hardly slower than at 192, and learn more
heads = 8

[training]
batch_size = 32          # a step of 256 pairs takes seconds on a CPU: few steps would be left
optimizer = "muon"       # after 250 steps of en-fr 4.96 nats a token on validation, adamw 5.90
learning_rate = 0.005
schedule = "linear"
budget = "30 min"
seed = 0
"""


def segments_recipe(code: str, language: str) -> str:
    """The recipe of one language, its score still to be filled in."""
    return SEGMENTS_RECIPE.replace("{code}", code).replace("{language}", language)
