"""Parts of files and folders, copied elsewhere: some of their rows, for a forecast."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from luban.data.readers.parallel import sides

PIECES = 2  # of a file that are read: its front and its middle
LINES, PARQUET = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt"), ".parquet"


def size_of(path: Path) -> int:
    """Bytes of a file, of files that are read side by side, or of all files of a folder."""
    if files := sides(path):
        return sum(file.stat().st_size for file in files.values())
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size


def copy_all(path: Path, target: Path) -> int:
    """A small file or folder as it is."""
    if path.is_dir():
        shutil.copytree(path, target)
    elif files := sides(path):
        for name, file in files.items():
            shutil.copyfile(file, sides(target)[name])
    else:
        shutil.copyfile(path, target)
    return size_of(target)


def is_divisible(path: Path) -> bool:
    """Whether a part of it can be read."""
    return path.is_dir() or bool(sides(path)) or path.suffix.lower() in (*LINES, PARQUET)


def is_packed(path: Path) -> bool:
    """Whether of files that are read side by side only all can be."""
    return bool(sides(path)) and path.name.lower().endswith(".gz")


def copy_some(path: Path, target: Path, most: int) -> int:
    """A sample of a large file or folder; how many of its bytes it stands for."""
    if path.is_dir():
        return files_of(path, target, most)
    if sides(path):
        return pairs_of(path, target, most)
    return lines_of(path, target, most) if path.suffix.lower() in LINES else rows_of(path, target, most)


def lines_of(path: Path, target: Path, most: int) -> int:
    """Whole lines from the front and from the middle of a file; the header is the front's first line."""
    size = path.stat().st_size
    with path.open("rb") as file:
        pieces = [cut(file.read(most // PIECES))]
        for number in range(1, PIECES):
            file.seek(size * number // PIECES)
            file.readline()
            pieces.append(cut(file.read(most // PIECES)))
    target.write_bytes(b"".join(pieces))
    return target.stat().st_size


def cut(piece: bytes) -> bytes:
    """Up to the last end of a line."""
    return piece[: piece.rfind(b"\n") + 1] or piece


def pairs_of(path: Path, target: Path, most: int) -> int:
    """The first lines of files that are read side by side, as many of each; packed ones whole."""
    files = sides(path)
    if is_packed(path):
        return copy_all(path, target)
    pieces = {}
    for name, file in files.items():
        with file.open("rb") as opened:
            pieces[name] = cut(opened.read(most // len(files))).split(b"\n")
    count = min(len(lines) for lines in pieces.values()) - 1  # behind the last end of line stands nothing
    for name, lines in pieces.items():
        sides(target)[name].write_bytes(b"\n".join(lines[:count]) + b"\n")
    return size_of(target)


def rows_of(path: Path, target: Path, most: int) -> int:
    """Rows from the front and from the middle of a parquet file."""
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    each = max(1, rows * most // path.stat().st_size // PIECES)
    frame = pl.scan_parquet(path)
    pl.concat([frame.slice(rows * number // PIECES, each).collect() for number in range(PIECES)]).write_parquet(target)
    return max(1, round(path.stat().st_size * min(rows, each * PIECES) / rows))


def files_of(folder: Path, target: Path, most: int) -> int:
    """Every k-th file of a folder, its tree kept."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    step = max(1, -(-size_of(folder) // most))
    for path in files[::step]:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return size_of(target)
