"""Numbers and names that stand in an answer as they stand in its source: what they are, and whether they were kept.

A name here is what every language writes alike: addresses, file names, identifiers, placeholders, acronyms. Numbers of one digit are often
written out, so they are none.
"""

from __future__ import annotations

import re

NAMES = re.compile(
    r"[a-z][a-z0-9+.-]*://[^\s<>\"'，。；）)]+[^\s<>\"'，。；）).,;]"  # an address
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|%\(\w+\)[a-z]|%\d*\$?[-+0-9.]*[a-zA-Z](?![A-Za-z])|\{\w*\}"  # a placeholder
    r"|(?<![A-Za-z0-9_])(?:[A-Za-z][A-Za-z0-9-]*[_./])+[A-Za-z0-9_-]*[A-Za-z0-9]"  # a path, a file, an identifier
    r"|(?<![A-Za-z0-9_])[A-Za-z]*(?:[A-Za-z]\d|\d[A-Za-z]|[a-z][A-Z])[A-Za-z0-9]*"  # mp3, GtkWindow
    r"|(?<![A-Za-z0-9])[A-Z]{2,}(?![A-Za-z0-9])"  # an acronym
    r"|\d+(?:[.,:/-]\d+)+|\d{2,}",
    re.ASCII,
)
SEPARATORS = re.compile(r"(?<=\d)[,\s\u00a0\u202f'](?=\d{3}(?!\d))")  # 1,000 · 1 000 · 1'000
MOST = 64  # of a source


def keepable(source: str) -> list[str]:
    """The numbers and names of a source, each once, in their order."""
    return list(dict.fromkeys(found[0] for found in NAMES.finditer(source)))[:MOST]


def lost(source: str, answer: str) -> list[str]:
    """Those that are not in the answer; digits may be grouped otherwise."""
    bare = plain(answer)
    return [name for name in keepable(source) if name not in answer and plain(name) not in bare]


def plain(text: str) -> str:
    """Digits without marks between thousands, a decimal comma as a point."""
    return re.sub(r"(?<=\d),(?=\d)", ".", SEPARATORS.sub("", text))
