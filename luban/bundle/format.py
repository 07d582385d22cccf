"""The folder a bundle is: which files, how they are hashed, how they are read without trusting them.

luban.json (format, task, kinds, signature, labels) · state.json · tokenizers.json · weights.safetensors · fingerprint.json · report.json ·
golden.jsonl · card.md · MANIFEST.json. No pickle, no archive, no link is followed, no path from a file is opened.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from luban import files as on_disk
from luban import strict_json
from luban.errors import BundleError
from luban.files import digest, digest_beside
from luban.messages import tr

FORMAT = 4
REQUIRED = ("luban.json", "state.json", "weights.safetensors", "golden.jsonl")
OPTIONAL = ("report.json", "card.md", "tokenizers.json", "fingerprint.json")
MANIFEST, WEIGHTS = "MANIFEST.json", "weights.safetensors"
MOST_BYTES = {
    "luban.json": 2_000_000,
    "state.json": 64_000_000,
    "tokenizers.json": 64_000_000,
    "golden.jsonl": 16_000_000,
    "report.json": 16_000_000,
    "fingerprint.json": 1_000_000,
    "card.md": 1_000_000,
    MANIFEST: 100_000,
}


@dataclass(frozen=True)
class Files:
    """A bundle whose small files were read once, and found as the manifest has them; the weights are still to be looked at."""

    folder: Path
    format: int
    content: dict[str, bytes]
    weights: dict[str, Any]  # bytes, sha256

    def value(self, name: str) -> Any:
        """A file of JSON. Raises BundleError L403 for what is none."""
        return parsed(self.folder / name, self.content[name])

    def lines(self, name: str, most: int) -> list[Any]:
        """A file of JSON lines. Raises BundleError L403 for what is none, or for more lines."""
        if self.content[name].count(b"\n") > most:
            raise BundleError("L403", tr("more lines than such a file can have"), where=str(self.folder / name), received=f"> {most}")
        return [parsed(self.folder / name, line) for line in self.content[name].split(b"\n") if line]

    def begin_to_check_weights(self) -> Callable[[], None]:
        """Read the weights while other parts are put together; the call waits, and raises BundleError L404 where they are not those that were written."""
        found = digest_beside(self.folder / WEIGHTS)

        def check() -> None:
            if found.result() != self.weights["sha256"]:
                raise changed(self.folder / WEIGHTS)

        return check


def sign(folder: Path, number: int = FORMAT) -> None:
    """Write the manifest of the files that are there."""
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    manifest = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    write_json(folder / MANIFEST, {"format": number, "files": manifest})


def open_files(folder: Path) -> Files:
    """Refuse what is not exactly what was written. Raises BundleError L401 … L405."""
    check_place(folder)
    manifest = parsed(folder / MANIFEST, read(folder, MANIFEST))
    number = check_format(manifest.get("format") if isinstance(manifest, dict) else None, folder)
    files = manifest.get("files")
    if not isinstance(files, dict) or not set(REQUIRED) <= set(files) <= {*REQUIRED, *OPTIONAL}:
        raise BundleError("L403", tr("the manifest does not name the files of a bundle"), where=str(folder))
    check_names(folder, set(files))
    for name, known in files.items():
        if not isinstance(known, dict) or status_of(folder / name).st_size != known.get("bytes"):
            raise changed(folder / name)
    content = {name: read(folder, name) for name in files if name != WEIGHTS}
    for name, data in content.items():
        if hashlib.sha256(data).hexdigest() != files[name].get("sha256"):
            raise changed(folder / name)
    if not isinstance(files[WEIGHTS].get("sha256"), str):
        raise changed(folder / WEIGHTS)
    return Files(folder, number, content, files[WEIGHTS])


def check_place(folder: Path) -> None:
    """Raises BundleError L401 where there is no bundle."""
    if (folder / MANIFEST).is_file():
        return
    near = folder / "bundle" / MANIFEST
    fix = str(near.parent) if near.is_file() else tr("a bundle is the folder `bundle` of a finished run")
    raise BundleError("L401", tr("no bundle here"), where=str(folder), fix=fix)


def check_names(folder: Path, named: set[str]) -> None:
    """Raises BundleError L403 for a file that the manifest does not name; a folder full of them is not listed to its end."""
    with os.scandir(folder) as entries:
        there = {entry.name for entry in itertools.islice(entries, len(named) + 2)}
    if extra := sorted(there - named - {MANIFEST}):
        raise BundleError("L403", tr("a file that does not belong to the bundle"), where=str(folder), received=extra[0])


def check_format(number: Any, folder: Path) -> int:
    """The format version. Raises BundleError L402 for another format version."""
    if type(number) is not int or not 1 <= number <= FORMAT:
        raise BundleError(
            "L402",
            tr("the bundle has another format version"),
            where=str(folder),
            received=number,
            allowed=range(1, FORMAT + 1),
            fix=tr("install the Luban that wrote it, or train again"),
        )
    return number


def status_of(path: Path) -> os.stat_result:
    """Of a plain file. Raises BundleError L403 for a link, a folder, a pipe, a device, or nothing."""
    try:
        status = path.lstat()
    except OSError as error:
        raise BundleError("L403", tr("a file is missing, or is a link"), where=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        raise BundleError("L403", tr("a file is missing, or is a link"), where=str(path))
    return status


def open_plain(path: Path) -> BinaryIO:
    """The file, opened without following a link or waiting for a pipe. Raises BundleError L403."""
    try:
        return on_disk.open_plain(path)
    except OSError as error:
        raise BundleError("L403", tr("a file is missing, or is a link"), where=str(path)) from error


def read(folder: Path, name: str) -> bytes:
    """A whole small file. Raises BundleError L403, L405."""
    with open_plain(folder / name) as file:
        data = file.read(MOST_BYTES[name] + 1)
    if len(data) > MOST_BYTES[name]:
        raise BundleError("L405", tr("the file is larger than such a file can be, or is a link"), where=str(folder / name))
    return data


def parsed(path: Path, data: bytes) -> Any:
    """Strict JSON. Raises BundleError L403."""
    try:
        return strict_json.loads(data)
    except ValueError as error:
        raise BundleError("L403", tr("the file is not JSON: {why}", why=str(error)[:80]), where=str(path)) from error


def changed(path: Path) -> BundleError:
    """The file is not the one that was written."""
    what = tr("the file was changed after the bundle was written")
    return BundleError("L404", what, where=str(path), fix=tr("copy the bundle again from where it was made"))


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, NaN refused. Raises BundleError L408 for more than a bundle may hold: nobody could open it."""
    data = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()
    try:
        strict_json.check_size(data)
    except ValueError as error:
        raise too_large(path, str(error)) from error
    if len(data) > MOST_BYTES[path.name]:
        raise too_large(path, tr("{n} bytes; at most {most}", n=len(data), most=MOST_BYTES[path.name]))
    path.write_bytes(data)


def too_large(path: Path, why: str) -> BundleError:
    """What was learnt does not fit into a bundle."""
    fix = tr("fewer columns of many names: lower max_categories, max_tags or vocabulary under [inputs]")
    return BundleError("L408", tr("what was learnt is too large for a bundle: {why}", why=why), where=path.name, fix=fix)
