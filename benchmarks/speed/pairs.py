"""Sides of a comparison measured in turn, and the table they make.

Each round measures every side once, the order turned about from round to round; the first round is thrown away.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Sides = dict[str, Callable[[], float]]


def in_turn(sides: Sides, rounds: int) -> dict[str, list[float]]:
    """What each side gave in each round."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            value = sides[name]()
            if number:
                found[name].append(value)
    return found


def ratio(found: dict[str, list[float]], over: str, under: str) -> float:
    """The median of one side over another, round by round."""
    return statistics.median(a / b for a, b in zip(found[over], found[under], strict=True))


def compared(found: dict[str, list[float]], sides: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """A line for each side: the median, how many times ours it is, and the accuracy it came to."""
    return [
        {"side": side, what: statistics.median(spans), "over ours": ratio(found, side, "ours"), "accuracy": sides[side].accuracy}
        for side, spans in found.items()
    ]


def options(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """What every comparison takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="JSON")
    return parser


def show(rows: list[dict[str, Any]], out: Path | None) -> None:
    """Markdown, and JSON where it is asked for."""
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()) + " |")
    if out:
        machine = {"processor": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False), encoding="utf-8")


def processor() -> str:
    """Its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
