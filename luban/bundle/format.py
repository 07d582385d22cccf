"""The folder a bundle is: which files, how they are hashed, how they are read without trusting them.

luban.json (format, task, kinds, signature, labels) · state.json · weights.safetensors · report.json · golden.jsonl · card.md · MANIFEST.json
No pickle, no archive, no link is followed, no path from a file is opened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from luban.errors import BundleError
from luban.files import digest
from luban.messages import tr

FORMAT = 1
REQUIRED = ("luban.json", "state.json", "weights.safetensors", "golden.jsonl")
OPTIONAL = ("report.json", "card.md")
MANIFEST = "MANIFEST.json"
MOST_BYTES = {
    "luban.json": 50_000_000,
    "state.json": 500_000_000,
    "golden.jsonl": 50_000_000,
    "report.json": 50_000_000,
    "card.md": 5_000_000,
    MANIFEST: 100_000,
}


def seal(folder: Path) -> None:
    """Write the manifest: the hash and size of every file."""
    files = {path.name: {"sha256": digest(path), "bytes": path.stat().st_size} for path in sorted(folder.iterdir())}
    write_json(folder / MANIFEST, {"format": FORMAT, "files": files})


def check(folder: Path) -> None:
    """Refuse what is not exactly what was written. Raises BundleError L401 … L405."""
    if not folder.is_dir():
        raise BundleError("L401", tr("no bundle here"), where=str(folder), fix=tr("a bundle is the folder `bundle` of a finished run"))
    if not (folder / MANIFEST).is_file():
        near = folder / "bundle" / MANIFEST
        fix = str(near.parent) if near.is_file() else tr("a bundle is the folder `bundle` of a finished run")
        raise BundleError("L401", tr("no bundle here"), where=str(folder), fix=fix)
    manifest = read_json(folder, MANIFEST)
    check_format(manifest.get("format") if isinstance(manifest, dict) else None, folder)
    files = manifest.get("files")
    if not isinstance(files, dict) or not set(REQUIRED) <= set(files) <= {*REQUIRED, *OPTIONAL}:
        raise BundleError("L403", tr("the manifest does not name the files of a bundle"), where=str(folder))
    there = {path.name for path in folder.iterdir()}
    if extra := sorted(there - set(files) - {MANIFEST}):
        raise BundleError("L403", tr("a file that does not belong to the bundle"), where=str(folder), received=extra[0])
    for name, known in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise BundleError("L403", tr("a file is missing, or is a link"), where=str(path))
        if not isinstance(known, dict) or path.stat().st_size != known.get("bytes") or digest(path) != known.get("sha256"):
            raise BundleError(
                "L404",
                tr("the file was changed after the bundle was written"),
                where=str(path),
                fix=tr("copy the bundle again from where it was made"),
            )


def check_format(number: Any, folder: Path) -> None:
    """Raises BundleError L402 for another format version."""
    if number != FORMAT:
        raise BundleError(
            "L402",
            tr("the bundle has another format version"),
            where=str(folder),
            received=number,
            allowed=[FORMAT],
            fix=tr("install the Luban that wrote it, or train again"),
        )


def read_json(folder: Path, name: str) -> Any:
    """One JSON file, of bounded size. Raises BundleError L403, L405."""
    path = folder / name
    if path.is_symlink() or path.stat().st_size > MOST_BYTES.get(name, 0):
        raise BundleError("L405", tr("the file is larger than such a file can be, or is a link"), where=str(path))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError("L403", tr("the file is not JSON: {why}", why=str(error)[:80]), where=str(path)) from error


def read_lines(folder: Path, name: str) -> list[Any]:
    """A file of JSON lines, of bounded size. Raises BundleError L403, L405."""
    path = folder / name
    if path.is_symlink() or path.stat().st_size > MOST_BYTES.get(name, 0):
        raise BundleError("L405", tr("the file is larger than such a file can be, or is a link"), where=str(path))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, NaN refused."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")
