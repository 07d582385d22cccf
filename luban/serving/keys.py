"""Keys: only their hashes are kept; each may have a rate. A key is 256 random bits, so that a plain hash cannot be guessed backwards."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from luban.errors import RecipeError
from luban.files import write_whole
from luban.messages import tr
from luban.schema import validate
from luban.serving import problems

PREFIX = "lb-"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One key, as the file has it."""

    sha256: str
    """Hash of the key, 64 hexadecimal digits."""
    per_minute: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Requests a minute; 0 = no limit of its own."""

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ValueError(tr("not a SHA-256 in hexadecimal digits"))


@dataclass
class Bucket:
    """Requests a key has left: it fills evenly, and holds those of ten seconds."""

    per_minute: int
    left: float = field(init=False)
    seen: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.left = self.most

    @property
    def most(self) -> float:
        """Requests at once."""
        return max(1.0, self.per_minute / 6)

    def take(self, now: float) -> float:
        """0 where a request may pass, else the seconds until it may."""
        if not self.per_minute:
            return 0.0
        self.left = min(self.most, self.left + (now - self.seen) * self.per_minute / 60)
        self.seen = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) * 60 / self.per_minute


class Keys:
    """Those that open the service; without any, every request may pass."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.hashes = [(bytes.fromhex(entry.sha256), name) for name, entry in entries.items()]
        self.buckets = {name: Bucket(entry.per_minute) for name, entry in entries.items()}

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def check(self, authorization: bytes) -> str:
        """The key's name. Raises RequestError L610, L611. Every hash is compared, each in constant time."""
        if not self.hashes:
            return ""
        scheme, _, key = authorization.partition(b" ")
        given, found = hashlib.sha256(key.strip()).digest(), ""
        for known, name in self.hashes:
            if hmac.compare_digest(given, known) and scheme.lower() == b"bearer":
                found = name
        if not found:
            raise problems.no_key()
        if wait_s := self.buckets[found].take(time.monotonic()):
            raise problems.too_often(math.ceil(wait_s))
        return found


def read(path: Path) -> dict[str, Entry]:
    """The entries of a file. Raises RecipeError L182."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = tr("luban serve --new-key NAME --keys FILE writes one")
        raise RecipeError("L182", tr("the keys cannot be read"), where=str(path), fix=fix) from error
    return {name: validate(Entry, table, where=f"{path.name}: {name}") for name, table in tables.items()}


def add(path: Path, name: str, per_minute: int) -> str:
    """Make a key, write its hash to the file, and return it: it is never seen again. Raises RecipeError L182, L183."""
    entries = read(path) if path.exists() else {}
    if name in entries or not name.isidentifier() or not name.isascii():
        what = tr("a key's name is a new word of letters, digits and _")
        raise RecipeError("L183", what, where=str(path), received=name)
    key = PREFIX + secrets.token_urlsafe(32)
    entries[name] = Entry(sha256=hashlib.sha256(key.encode()).hexdigest(), per_minute=per_minute)
    write_whole(path, "\n".join(table(name, entry) for name, entry in entries.items()).encode())
    path.chmod(0o600)
    return key


def table(name: str, entry: Any) -> str:
    """As TOML."""
    return f'[{name}]\nsha256 = "{entry.sha256}"\nper_minute = {entry.per_minute}\n'
