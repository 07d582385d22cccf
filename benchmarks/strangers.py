"""How long it takes to refuse a hostile bundle, and how much memory: every case of the tests, signed anew, each in a process of its own.

python benchmarks/strangers.py [WORD …]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "faults")]

from bundles import BASES, copied, make  # noqa: E402
from hostile import CASES, resigned  # noqa: E402
from test_strange_bundles import Server  # noqa: E402

SHOWN = 8


def refused(server: Server, folder: Path, good: Path, name: str) -> dict[str, Any]:
    """What came of one case."""
    base, spoil = CASES[name]
    (folder / "secret").write_text("{}")
    bundle = copied(good / base, folder / "bundle")
    spoil(bundle)
    if (bundle / "MANIFEST.json").is_file() and not (bundle / "MANIFEST.json").is_symlink() and not name.startswith("a manifest"):
        resigned(bundle)
    return server.open(bundle) | {"name": name}


def main() -> None:
    """Print the slowest."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        good = Path(place) / "good"
        for base in BASES:
            make(good / base, base)
        server, found = Server(Path(place)), []
        for number, name in enumerate(CASES):
            if not words or any(word in name for word in words):
                (folder := Path(place) / str(number)).mkdir()
                found.append(refused(server, folder, good, name))
        server.process.stdin.close()  # type: ignore[union-attr]
        server.process.wait(30)
    found.sort(key=lambda one: -one["seconds"])
    print(f"{len(found)} cases; median {1000 * statistics.median(one['seconds'] for one in found):.0f} ms\n")
    print("| case | processor seconds | memory taken, MB | |\n|---|---:|---:|---|")
    for one in found[:SHOWN]:
        print(f"| {one['name']} | {one['seconds']:.2f} | {one['kilobytes'] / 1000:.0f} | {one['code']} |")


if __name__ == "__main__":
    main()
