"""Which files are media, and columns that hold their paths."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from luban.messages import tr

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aac")
MOVIES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
MEDIA: dict[str, str] = {
    suffix: medium for medium, all_of in (("image", IMAGES), ("audio", SOUNDS), ("video", MOVIES)) for suffix in all_of
}
LONGEST_PATH = 1024
SAMPLE = 200
MOSTLY = 0.9
MAGIC = {
    b"\x89PNG": "image", b"\xff\xd8\xff": "image", b"GIF8": "image", b"BM": "image", b"II*\0": "image", b"MM\0*": "image",
    b"RIFF": "audio", b"fLaC": "audio", b"ID3": "audio", b"OggS": "audio",
}  # fmt: skip


def medium_of(name: str) -> str:
    """`image`, `audio`, `video`, or "" by a file's suffix."""
    return MEDIA.get(os.path.splitext(name)[1].lower(), "")


def medium_of_bytes(data: bytes) -> str:
    """`image`, `audio` or "" by the first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image"
    return next((medium for magic, medium in MAGIC.items() if data.startswith(magic)), "")


def medium_of_column(series: pl.Series) -> str:
    """The medium a column holds as bytes or as paths, judged by a sample; "" when it holds none."""
    known = series.drop_nulls()
    if not len(known) or series.dtype not in (pl.String, pl.Binary):
        return ""
    sample = known.gather_every(max(1, len(known) // SAMPLE)).to_list()
    found = [
        medium_of_bytes(cell) if isinstance(cell, bytes) else medium_of(cell) if len(cell) <= LONGEST_PATH and "\n" not in cell else ""
        for cell in sample
    ]
    best = max(("image", "audio", "video"), key=found.count)
    return best if found.count(best) >= MOSTLY * len(found) else ""


def resolve(table: pl.DataFrame, column: str, base: Path) -> tuple[pl.DataFrame, dict[int, str]]:
    """The table with the column's paths made absolute, seen from `base`, and the rows whose file is not there."""
    faults: dict[int, str] = {}
    paths: list[str | None] = []
    for row, cell in enumerate(table[column].to_list()):
        path = (
            None
            if cell is None or not cell.strip()
            else os.path.normpath(os.path.join(base, cell.strip().replace("\\", "/") if os.sep == "/" else cell.strip()))
        )
        paths.append(path)
        if path is None or cell is None:
            continue
        if "://" in cell:
            faults[row] = tr("an address on the network, not a file")
        elif "\0" in path or not os.path.isfile(path):
            faults[row] = tr("no such file")
        elif not os.path.getsize(path):
            faults[row] = tr("the file is empty")
    return table.with_columns(pl.Series(column, paths, dtype=pl.String)), faults
